/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_volume.c - a volume reads as the plain content at every pointer
 *
 * A volume reads as the plain content at every pointer of a conversion, in the middle of each step
 * and at its end; and what coffer cannot read is refused with a sentence. */
#include "convert/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "convert/disk.h"
#include "crashrun.h"
#include "luks2/libcryptsetup.h"
#include "tap.h"

static const struct row rows[] = {
	{"three zones", 3 * MIB, 512},
	{"short zone, 4096-byte sectors", 2 * MIB + 5 * 4096, 4096},
	{"one zone only", 1 * MIB, 512},
	{"a size of odd sectors", 1 * MIB + 3 * 512, 512},
};

static struct coffer_secret *key_of(struct coffer_disk *disk)
{
	_cleanup_secret_ struct coffer_secret *pass = NULL;
	_cleanup_close_ int fd = -1;
	struct coffer_secret *key;

	if (coffer_secret_new(strlen(PASSWORD), &pass, NULL) < 0)
		abort();
	memcpy(pass->data, PASSWORD, pass->size);
	if (coffer_header_memfd(disk->dev, disk->header, MIB, &fd, NULL) < 0 ||
		coffer_luks2_unlock(fd, pass, &key, NULL) < 0)
		abort();
	return key;
}

/* What a state of the disk shows through its key. */
struct view {
	bool volume; /* there is a header that counts */
	bool finished;
	uint64_t pointer;
	uint64_t size;
	bool equal; /* all of the content, read in pieces of several sizes */
};

static bool reads_as(struct coffer_volume *v, const uint8_t *content, uint64_t length)
{
	static const size_t pieces[] = {4096, 12288, 1 << 20, 3 << 20};
	_cleanup_free_ uint8_t *buf = coffer_dev_buffer(3 << 20);

	if (!buf)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		for (uint64_t x = 0; x < length; x += pieces[i]) {
			const size_t n = min_u64(pieces[i], length - x);

			if (coffer_volume_read(v, x, buf, n, NULL) < 0 ||
				memcmp(buf, content + x, n) != 0)
				return false;
		}
	return true;
}

static struct view look(const struct row *row, const uint8_t *state, const uint8_t *content,
	struct coffer_secret **key)
{
	struct crashdev *d = crashdev_new(state, disk_size(row));
	_cleanup_volume_ struct coffer_volume v = {0};
	struct coffer_disk disk = {0};
	struct coffer_mapping map;
	struct coffer_err e = {0};
	struct view view = {0};

	d->dev.read_only = true;
	if (coffer_disk_examine(&d->dev, &disk, NULL) < 0)
		abort();
	if (disk.header && disk.facts.kind_error == 0) {
		view.volume = true;
		view.finished = disk.facts.kind == COFFER_LUKS2_ENCRYPTED;
		view.pointer = disk.facts.conversion.pointer;
		if (!*key)
			*key = key_of(&disk);
		if (!view.finished)
			coffer_mapping_converting(&disk.facts.conversion, d->dev.size, &map);
		else if (coffer_mapping_finished(disk.header->json, d->dev.size, &map, &e) < 0)
			note("%s", e.msg);
		if (coffer_volume_open(&d->dev, &map, *key, &v, NULL) < 0)
			abort();
		view.size = v.map.size;
		view.equal = reads_as(&v, content, row->length);
	}
	coffer_disk_reset(&disk);
	coffer_dev_close(&d->dev);
	return view;
}

/* Every state that the run's own order of writes goes through, and after each flush the one that a
 * lost cache leaves. */
static void test_every_state(const struct row *row)
{
	uint8_t *content = make_content(row), *state = malloc(disk_size(row));
	_cleanup_secret_ struct coffer_secret *key = NULL;
	unsigned int volumes = 0, bad = 0, pointers = 0, finished = 0;
	struct crash_log log = {0};
	uint64_t lowest = UINT64_MAX;

	if (!state || encrypt(row, content, true, &log, NULL) < 0)
		abort();
	for (size_t k = 0; k <= log.n; k++)
		for (enum crash_policy p = CRASH_ALL; p <= CRASH_LOST; p++) {
			struct view v;

			crash_state(content, disk_size(row), &log, k, p, 0, state);
			v = look(row, state, content, &key);
			if (!v.volume)
				continue;
			volumes++;
			finished += v.finished;
			if (!v.finished && v.pointer < lowest) {
				lowest = v.pointer;
				pointers++;
			}
			if (!v.equal || v.size < row->length) {
				note("after operation %zu (%s), pointer %" PRIu64 "%s", k,
					crash_policy_names[p], v.pointer,
					v.finished ? ", finished" : "");
				bad++;
			}
		}
	note("%s: %u states with a volume, %u pointers, %u finished", row->name, volumes, pointers,
		finished);
	/* a row that never met a pointer between its ends proves nothing */
	ok(bad == 0 && finished > 0 && pointers >= (row->length > MIB ? 3 : 2),
		"%s: the volume reads as the content at every pointer", row->name);
	crash_log_free(&log);
	free(state);
	free(content);
}

/* One wrong byte in any of the four regions is seen: so the test above reads what it says. */
static void test_regions(const struct row *row)
{
	uint8_t *content = make_content(row), *state = malloc(disk_size(row));
	_cleanup_secret_ struct coffer_secret *key = NULL;
	struct crash_log log = {0};
	bool tried = false;

	if (!state || encrypt(row, content, true, &log, NULL) < 0)
		abort();
	for (size_t k = 0; k <= log.n && !tried; k++) {
		static const uint64_t at[] = {4 * MIB + 77, MIB + 77, 3 * MIB + 77};
		struct view v;

		crash_state(content, disk_size(row), &log, k, CRASH_ALL, 0, state);
		v = look(row, state, content, &key);
		if (!v.volume || v.pointer != 2 * MIB)
			continue;
		tried = true;
		for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
			state[at[i]] ^= 1;
			ok(!look(row, state, content, &key).equal,
				"at pointer 2 MiB byte %" PRIu64 " counts", at[i]);
			state[at[i]] ^= 1;
		}
		state[2 * MIB + 77] ^= 1; /* converted already */
		ok(look(row, state, content, &key).equal, "and byte %" PRIu64 " does not",
			2 * MIB + 77);
	}
	ok(tried, "a state with pointer 2 MiB was found");
	crash_log_free(&log);
	free(state);
	free(content);
}

/* A step that stock has begun changes nothing of what is read: its source is whole. */
static void test_hot(void)
{
	struct coffer_conversion c = {.geometry = {6 * MIB, MIB, 4 * MIB, 512}, .pointer = 3 * MIB};
	struct coffer_mapping clean, hot;

	coffer_mapping_converting(&c, 6 * MIB, &clean);
	c.hot = true;
	coffer_mapping_converting(&c, 6 * MIB, &hot);
	ok(memcmp(&clean, &hot, sizeof(hot)) == 0 && hot.n == 3 &&
			hot.s[1].offset + hot.s[1].length == 3 * MIB && hot.s[2].tweak == 3 * MIB &&
			hot.s[2].offset == 4 * MIB && hot.s[0].offset == 5 * MIB,
		"inside a step of stock the old data count, up to the pointer before it");
	c.pointer = 0;
	coffer_mapping_converting(&c, 6 * MIB + 700, &clean);
	ok(clean.n == 1 && clean.size == 5 * MIB + 512 && clean.s[0].crypt,
		"at pointer 0 the volume reaches to the device's end");
	c.pointer = MIB;
	coffer_mapping_converting(&c, 6 * MIB, &clean);
	ok(clean.n == 2 && clean.size == 4 * MIB && !clean.s[0].crypt && clean.s[1].crypt,
		"at pointer S nothing is in place any more");
}

#define SEGMENT(type, offset, size, tweak, cipher, sector, more)                                   \
	"{\"segments\":{\"0\":{\"type\":\"" type "\",\"offset\":\"" offset "\",\"size\":\"" size   \
	"\",\"iv_tweak\":\"" tweak "\",\"encryption\":\"" cipher "\",\"sector_size\":" sector more \
	"}}}"
#define XTS "aes-xts-plain64"

static const struct {
	const char *name, *json;
	int r;
	uint64_t size, offset, tweak;
} finished_rows[] = {
	{"to the end", SEGMENT("crypt", "1048576", "dynamic", "0", XTS, "512", ""), 0,
		5 * MIB + 1536, MIB, 0},
	{"to the end, large sectors", SEGMENT("crypt", "1048576", "dynamic", "0", XTS, "4096", ""),
		0, 5 * MIB, MIB, 0},
	{"a fixed size", SEGMENT("crypt", "1048576", "2097152", "8", XTS, "512", ""), 0, 2 * MIB,
		MIB, 4096},
	{"one byte too long", SEGMENT("crypt", "4194304", "2099201", "0", XTS, "512", ""),
		-EBADMSG},
	{"beyond the end", SEGMENT("crypt", "4194304", "3145728", "0", XTS, "512", ""), -ENOSPC},
	{"begins beyond the end", SEGMENT("crypt", "16777216", "dynamic", "0", XTS, "512", ""),
		-ENOSPC},
	{"begins near 2^64", SEGMENT("crypt", "18446744073709551104", "512", "0", XTS, "512", ""),
		-EBADMSG},
	{"a tweak near 2^64",
		SEGMENT("crypt", "1048576", "512", "36028797018963968", XTS, "512", ""), -EBADMSG},
	{"an offset inside a sector", SEGMENT("crypt", "1048577", "dynamic", "0", XTS, "512", ""),
		-EBADMSG},
	{"no size",
		"{\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"0\",\"iv_tweak\":\"0\","
		"\"encryption\":\"" XTS "\",\"sector_size\":512}}}",
		-EBADMSG},
	{"another cipher",
		SEGMENT("crypt", "1048576", "dynamic", "0", "serpent-xts-plain64", "512", ""),
		-EOPNOTSUPP},
	{"integrity",
		SEGMENT("crypt", "1048576", "dynamic", "0", XTS, "512",
			",\"integrity\":{\"type\":\"aead\"}"),
		-EOPNOTSUPP},
	{"another kind of data", SEGMENT("hw-opal", "1048576", "dynamic", "0", XTS, "512", ""),
		-EOPNOTSUPP},
	{"a drive that encrypts by itself",
		"{\"segments\":{\"0\":{\"type\":\"hw-opal\",\"offset\":\"0\",\"size\":\"512\"}}}",
		-EOPNOTSUPP},
	{"no cipher", "{\"segments\":{\"0\":{\"type\":\"crypt\",\"sector_size\":512}}}", -EBADMSG},
	{"sectors of 513", SEGMENT("crypt", "1048576", "dynamic", "0", XTS, "513", ""), -EBADMSG},
	{"sectors of 0", SEGMENT("crypt", "1048576", "dynamic", "0", XTS, "0", ""), -EBADMSG},
	{"no segment", "{\"segments\":{}}", -EBADMSG},
	{"nothing", "{}", -EBADMSG},
	{"two segments",
		"{\"segments\":{\"0\":{\"type\":\"crypt\",\"encryption\":\"" XTS
		"\",\"sector_size\":512},\"1\":{}}}",
		-EOPNOTSUPP},
};

static void test_finished(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(finished_rows); i++) {
		_cleanup_json_ struct json_object *json = NULL;
		struct coffer_mapping m = {0};
		struct coffer_err e = {0};
		int r;

		if (coffer_json_parse(finished_rows[i].json, strlen(finished_rows[i].json), &json) <
			0)
			abort();
		r = coffer_mapping_finished(json, 6 * MIB + 1536, &m, &e);
		ok(r == finished_rows[i].r && (r == 0) == (e.msg[0] == '\0') &&
				m.size == finished_rows[i].size &&
				m.s[0].offset == finished_rows[i].offset &&
				m.s[0].tweak == finished_rows[i].tweak,
			"%s (%d, %" PRIu64 " bytes: %s)", finished_rows[i].name, r, m.size, e.msg);
	}
}

static void test_behind_the_end(void)
{
	const struct row *row = &rows[2];
	uint8_t *content = make_content(row);
	struct crashdev *d = crashdev_new(content, disk_size(row));
	const struct coffer_mapping map = {
		.size = MIB, .sector_size = 512, .n = 1, .s = {{.length = MIB, .offset = MIB}}};
	struct coffer_secret *key;
	struct coffer_volume v;
	uint8_t buf[1024];

	if (coffer_secret_new(64, &key, NULL) < 0)
		abort();
	memset(key->data, 7, 32);
	ok(coffer_volume_open(&d->dev, &map, key, &v, NULL) == 0 &&
			coffer_volume_read(&v, MIB - 512, buf, 512, NULL) == 0 &&
			coffer_volume_read(&v, MIB - 512, buf, 1024, NULL) == -EINVAL &&
			coffer_volume_read(&v, UINT64_MAX - 511, buf, 512, NULL) == -EINVAL,
		"the last sector reads, the one after it does not");
	coffer_volume_close(&v);
	key->size = 48;
	ok(coffer_volume_open(&d->dev, &map, key, &v, NULL) == -EINVAL,
		"a key of another size is refused");
	coffer_secret_free(key);
	coffer_dev_close(&d->dev);
	free(content);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		test_every_state(&rows[i]);
	test_regions(&rows[0]);
	test_hot();
	test_finished();
	test_behind_the_end();
	return done_testing();
}
