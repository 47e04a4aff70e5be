/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test_conversion.c - a conversion's metadata: written, read back, and gone on with
 *
 * The oracle is libcryptsetup: it makes the headers, loads what coffer wrote, and goes on. */
#include "convert/conversion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/bytes.h"
#include "base/crypto.h"
#include "lib/conversions.h"
#include "lib/stock.h"
#include "luks2/reencrypt_digest.h"
#include "tap.h"

/* --- every pointer: written, read back, and loaded by libcryptsetup --- */

/* Nothing but the segments and the list of those that the digest covers may change. */
static bool rest_is_same(struct json_object *before, struct json_object *after)
{
	struct json_object *a = NULL, *b = NULL;
	bool equal;

	if (json_object_deep_copy(before, &a, NULL) < 0 ||
		json_object_deep_copy(after, &b, NULL) < 0)
		abort();
	json_object_object_del(a, "segments");
	json_object_object_del(b, "segments");
	json_object_object_del(
		coffer_json_object(coffer_json_object(a, "digests"), "0"), "segments");
	json_object_object_del(
		coffer_json_object(coffer_json_object(b, "digests"), "0"), "segments");
	equal = json_object_equal(a, b);
	coffer_json_free(a);
	coffer_json_free(b);
	return equal;
}

static void check_pointers(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *init = header_metadata(header);
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c = conversion_begin(l);
	bool round_trip = true, rest = true, loads = true;
	uint64_t p[64];
	size_t n;

	ok(conversion_reads_as(init, &c), "%s: the header that libcryptsetup made", l->name);
	n = conversion_pointers(&l->g, p);
	for (size_t i = 0; i < n; i++) {
		c.pointer = p[i];
		round_trip &= coffer_conversion_write(json, &c, NULL) == 0 &&
			      conversion_reads_as(json, &c);
		rest &= rest_is_same(init, json);
		if (judge_metadata(header, &l->g, json) != STOCK_CLEAN) {
			note("p %" PRIu64, c.pointer);
			loads = false;
		}
	}
	ok(round_trip, "%s: %zu pointers: written and read back", l->name, n);
	ok(rest, "%s: the rest of the metadata stays as it is", l->name);
	ok(loads, "%s: libcryptsetup loads them all as clean", l->name);
	c.pointer = l->g.length;
	ok(coffer_conversion_write(json, &c, NULL) == 0 && conversion_reads_as(json, &c),
		"%s: no step yet, with the backups in the later order", l->name);
}

static void check_finish(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = header_metadata(header);
	_cleanup_free_ uint8_t *done = malloc(l->g.shift);
	struct coffer_conversion c = conversion_begin(l);
	enum coffer_luks2_kind kind = COFFER_LUKS2_OTHER;
	struct json_object *segment;
	uint8_t key[64];

	if (!done)
		abort();
	memcpy(done, header, l->g.shift);
	(void)coffer_conversion_write(json, &c, NULL);
	c.pointer = 0;
	ok(coffer_conversion_finish(json, &c, NULL) == 0 &&
			coffer_conversion_read(json, &kind, &c, NULL) == 0 &&
			kind == COFFER_LUKS2_ENCRYPTED,
		"%s: finished, it reads as encrypted", l->name);
	segment = coffer_json_object(coffer_json_object(json, "segments"), "0");
	ok(coffer_json_length(coffer_json_object(json, "segments")) == 1 &&
			coffer_json_length(coffer_json_object(json, "keyslots")) == 1 &&
			coffer_json_length(coffer_json_object(json, "digests")) == 1 &&
			!coffer_json_object(coffer_json_object(json, "config"), "requirements") &&
			strcmp(coffer_json_string(segment, "size"), "dynamic") == 0 &&
			!coffer_json_array(segment, "flags"),
		"%s: finished, nothing of the reencryption is left", l->name);
	header_put_metadata(done, json);
	ok(stock_judge(done, l->g.shift, l->g.shift) == STOCK_NONE &&
			stock_key(done, l->g.shift, key) == l->key_size,
		"%s: finished, libcryptsetup loads it and the passphrase opens it", l->name);
	ok(coffer_conversion_finish(json, &c, NULL) == -EBADMSG,
		"%s: finished, it cannot be finished again", l->name);
}

static void check_hot(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c = conversion_begin(l);
	bool read = true, loads = true, left = true;
	uint64_t q;

	for (uint64_t p = l->g.length; p > 0; p = q) {
		q = coffer_next_step(&l->g, NULL, p);
		conversion_make_hot(json, l, q, p);
		c.pointer = p;
		c.hot = true;
		read &= conversion_reads_as(json, &c);
		loads &= judge_metadata(header, &l->g, json) == STOCK_CRASHED;
		c.hot = false;
		for (unsigned int done = 0; done < 2; done++) {
			c.pointer = done ? q : p;
			left &= coffer_conversion_write(json, &c, NULL) == 0 &&
				conversion_reads_as(json, &c) &&
				judge_metadata(header, &l->g, json) == STOCK_CLEAN;
		}
	}
	ok(loads, "%s: libcryptsetup calls the states inside a step crashed", l->name);
	ok(read, "%s: they read as hot, with the pointer before the step", l->name);
	ok(left, "%s: they are left by writing a pointer", l->name);
}

/* --- side by side with libcryptsetup's own engine --- */

static void xts(const uint8_t *key, const struct coffer_conversion *c, uint64_t offset, uint8_t *p,
	size_t n, bool encrypt)
{
	_cleanup_xts_ struct coffer_xts *x = NULL;

	if (coffer_xts_new(key, c->key_size, c->geometry.sector_size, &x, NULL) < 0 ||
		(encrypt ? coffer_xts_encrypt(x, offset, p, n)
			 : coffer_xts_decrypt(x, offset, p, n)) < 0)
		abort();
}

/* A disk as it is when the header was placed. */
static uint8_t *placed(const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	uint8_t *disk = calloc(1, l->g.device);

	if (!disk)
		abort();
	memcpy(disk, plain, l->g.length);
	memcpy(disk + l->g.device - l->g.shift, plain, l->g.shift);
	memcpy(disk, header, l->g.shift);
	return disk;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(json_object_get_string(*(struct json_object *const *)a),
		json_object_get_string(*(struct json_object *const *)b));
}

/* The list of covered segments is a set; libcryptsetup's order follows its history. */
static bool says_the_same(const uint8_t *header, struct json_object *json)
{
	_cleanup_json_ struct json_object *stock = header_metadata(header);
	struct json_object *const both[] = {stock, json};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		json_object_array_sort(
			coffer_json_array(
				coffer_json_object(coffer_json_object(both[i], "digests"), "0"),
				"segments"),
			by_text);
		if (!coffer_json_object(coffer_json_object(json, "config"), "requirements"))
			json_object_object_del(
				coffer_json_object(both[i], "config"), "keyslots_size");
	}
	if (json_object_equal(stock, json))
		return true;
	note("coffer: %s", coffer_json_text(coffer_json_object(json, "segments")));
	note("stock:  %s", coffer_json_text(coffer_json_object(stock, "segments")));
	return false;
}

static void check_steps_of_stock(
	const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	_cleanup_free_ uint8_t *disk = placed(l, header, plain);
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c = conversion_begin(l);
	bool equal = true, runs = true;

	/* To the last step but one: after the last it finishes by itself. */
	while (coffer_next_step(&l->g, NULL, c.pointer) > 0 && runs) {
		c.pointer = coffer_next_step(&l->g, NULL, c.pointer);
		runs = stock_resume(disk, l->g.device, 1);
		(void)coffer_conversion_write(json, &c, NULL);
		equal &= says_the_same(disk, json);
	}
	ok(runs && equal, "%s: after each step libcryptsetup writes what coffer would", l->name);
	/* It counts the keyslot area anew; coffer leaves that to the next tool that wants space. */
	(void)coffer_conversion_finish(json, &c, NULL);
	runs = stock_resume(disk, l->g.device, 0);
	ok(runs && says_the_same(disk, json), "%s: and in the end too", l->name);
}

static void check_handover(const struct layout *l, const uint8_t *header, const uint8_t *plain)
{
	struct coffer_conversion c = conversion_begin(l);
	uint8_t key[64];
	uint64_t p[64];
	size_t n = conversion_pointers(&l->g, p);
	bool good = stock_key(header, l->g.shift, key) == l->key_size;

	for (size_t i = 0; i < n && good; i++) {
		_cleanup_free_ uint8_t *disk = placed(l, header, plain);
		_cleanup_json_ struct json_object *json = header_metadata(header);
		const uint64_t s = l->g.shift;

		/* 0 is the state that only coffer can finish. */
		if (p[i] == 0)
			continue;
		c.pointer = p[i];
		memcpy(disk + s + p[i], plain + p[i], l->g.length - p[i]);
		xts(key, &c, p[i], disk + s + p[i], l->g.length - p[i], true);
		(void)coffer_conversion_write(json, &c, NULL);
		header_put_metadata(disk, json);
		good = stock_resume(disk, l->g.device, 0);
		if (good) {
			xts(key, &c, 0, disk + s, l->g.length, false);
			good = memcmp(disk + s, plain, l->g.length) == 0 &&
			       stock_judge(disk, s, s) == STOCK_NONE;
		}
		if (!good)
			note("p %" PRIu64, p[i]);
	}
	ok(good, "%s: from every pointer libcryptsetup resumes, and no byte is lost", l->name);
}

/* Every layout's own digest, at every pointer. */
static void check_digest_stays(const struct layout *l, const uint8_t *header)
{
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c = conversion_begin(l);
	uint8_t key[64];
	uint64_t p[64];
	const size_t n = conversion_pointers(&l->g, p);
	bool good = stock_key(header, l->g.shift, key) == l->key_size &&
		    coffer_reencrypt_digest_verify(json, key, l->key_size, NULL) == 0;

	for (size_t i = 0; i < n && good; i++) {
		c.pointer = p[i];
		good = coffer_conversion_write(json, &c, NULL) == 0 &&
		       coffer_reencrypt_digest_verify(json, key, l->key_size, NULL) == 0;
	}
	ok(good, "%s: the digest holds at every pointer", l->name);
}

/* Every place at which a conversion can stand, of one small layout; stock looks at some. */
static void check_every_pointer(const uint8_t *header)
{
	enum {
		EACH = 64
	};
	struct layout l = layouts[0];
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c;
	unsigned int n = 0, wrong = 0, judged = 0, refused = 0;

	l.g.length = MIB + MIB / 2;
	c = conversion_begin(&l);
	for (uint64_t p = 0; p <= l.g.length; p += l.g.sector_size) {
		if (!coffer_pointer_ok(&l.g, p))
			continue;
		c.pointer = p;
		if (coffer_conversion_write(json, &c, NULL) < 0 || !conversion_reads_as(json, &c))
			wrong++;
		if (n++ % EACH == 0) {
			judged++;
			refused += judge_metadata(header, &l.g, json) != STOCK_CLEAN;
		}
	}
	ok(wrong == 0 && n == MIB / 2 / 512 + 2, "every pointer: %u are written and read back", n);
	ok(refused == 0 && judged > 8, "every pointer: libcryptsetup loads %u of them as clean",
		judged);
}

/* Data shorter than the space, as stock makes it with --device-size: nothing begins that way
 * here, but it can be resumed. */
static void check_short(const uint8_t *header)
{
	struct layout l = layouts[0];
	_cleanup_json_ struct json_object *json = header_metadata(header);
	struct coffer_conversion c;
	bool good = true;
	uint64_t p[64];
	size_t n;

	l.g.length -= MIB / 2;
	c = conversion_begin(&l);
	n = conversion_pointers(&l.g, p);
	for (size_t i = 0; i < n; i++) {
		c.pointer = p[i];
		good &= coffer_conversion_write(json, &c, NULL) == 0 &&
			conversion_reads_as(json, &c) &&
			judge_metadata(header, &l.g, json) == STOCK_CLEAN;
	}
	ok(good, "data shorter than the space: written, read back and loaded");
}

int main(void)
{
	_cleanup_free_ uint8_t *plain = malloc(8 * MIB);

	if (!plain || coffer_random(plain, 8 * MIB) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		const struct layout *l = &layouts[i];
		_cleanup_free_ uint8_t *header = stock_header(&l->g, CIPHER, l->key_size);

		if (!ok(header != NULL, "%s: a header by libcryptsetup", l->name))
			continue;
		check_pointers(l, header);
		check_finish(l, header);
		check_hot(l, header);
		check_digest_stays(l, header);
		check_steps_of_stock(l, header, plain);
		check_handover(l, header, plain);
		if (i > 0)
			continue;
		check_short(header);
		check_every_pointer(header);
	}
	return done_testing();
}
