/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report.c - progress and summary of a run, for people or as JSON lines */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/size.h"
#include "cli/cli.h"

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- progress --- */

/* Bytes per second; 0: not known yet. */
static double rate_of(const struct coffer_report *r, uint64_t moved)
{
	const double seconds = r->converting > 0 ? now() - r->converting : 0;

	return seconds > 0 ? (double)moved / seconds : 0;
}

static double seconds_left(const struct coffer_progress *p, double rate)
{
	return rate > 0 ? (double)(p->total - p->done) / rate : 0;
}

static unsigned int percent(const struct coffer_progress *p)
{
	return p->total ? (unsigned int)((double)p->done * 100 / (double)p->total) : 0;
}

static void progress_json(const struct coffer_report *r, const struct coffer_progress *p)
{
	_cleanup_json_ struct json_object *o = coffer_json_object_new();
	const double rate = rate_of(r, p->moved);

	COFFER_PUT(o, "event", "progress");
	COFFER_PUT(o, "device", r->call->device);
	COFFER_PUT(o, "phase", coffer_phase_name(p->phase));
	COFFER_PUT(o, "done", p->done);
	COFFER_PUT(o, "total", p->total);
	COFFER_PUT(o, "moved", p->moved);
	COFFER_PUT(o, "bytes_per_second", rate);
	COFFER_PUT(o, "eta_seconds", seconds_left(p, rate));
	/* Not an error: the reader of the progress may have ended. */
	(void)coffer_json_print(o);
}

void coffer_report_clear(struct coffer_report *r)
{
	if (r->line_shown)
		(void)fputs("\r\033[K", stderr);
	r->line_shown = false;
}

/* Redraw the line. It stays within the terminal's width: a wrapped one would scroll. */
static void redraw(struct coffer_report *r, const char *text)
{
	struct winsize size;
	int width = 80;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		width = size.ws_col;
	(void)fprintf(stderr, "\r\033[K%.*s", width - 1, text);
	(void)fflush(stderr);
	r->line_shown = true;
}

/* Ten times a second on a terminal, else every five percent. */
static bool is_due(struct coffer_report *r, const struct coffer_progress *p)
{
	const double t = now();

	if (r->last_shown > 0 && p->done != p->total &&
		(r->terminal ? t - r->last_shown < 0.1 : percent(p) < r->percent + 5))
		return false;
	r->last_shown = t;
	r->percent = percent(p) - percent(p) % 5;
	return true;
}

static void progress_text(struct coffer_report *r, const struct coffer_progress *p)
{
	const double rate = rate_of(r, p->moved);
	const uint64_t left = (uint64_t)seconds_left(p, rate);
	char speed[64] = "", line[192];

	if (!is_due(r, p))
		return;
	if (rate > 0)
		(void)snprintf(speed, sizeof(speed), ", %s/s, %" PRIu64 ":%02" PRIu64 " left",
			coffer_size_format((uint64_t)rate).s, left / 60, left % 60);
	(void)snprintf(line, sizeof(line), "%3u %%, %s of %s%s", percent(p),
		coffer_size_format(p->done).s, coffer_size_format(p->total).s, speed);
	if (r->terminal)
		redraw(r, line);
	else
		coffer_show_line(stderr, "%s: %s", r->call->device, line);
}

static void progress(void *userdata, const struct coffer_progress *p)
{
	struct coffer_report *r = userdata;
	const bool converts = p->phase == COFFER_PHASE_CONVERT;

	/* The ciphers of the engine hold a volume key now. */
	if ((converts && r->converting == 0) || p->phase == COFFER_PHASE_FINALIZE)
		coffer_memory_lock();
	if (converts && r->converting == 0) {
		r->converting = now();
		if (r->terminal && !r->call->json && !r->call->quiet)
			coffer_signals_announce();
	}
	if (r->call->json)
		progress_json(r, p);
	else if (!r->call->quiet && r->terminal && p->phase == COFFER_PHASE_DERIVE)
		redraw(r, "deriving the key, which takes a few seconds ...");
	else if (!r->call->quiet && converts)
		progress_text(r, p);
}

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	struct coffer_report *r = userdata;
	const int n = coffer_read_key(r->key, r->call->device, why, buf, size, e);

	r->no_key = n < 0 && n != -EINTR;
	return n;
}

struct coffer_encrypt_callbacks coffer_report_begin(struct coffer_report *r,
	const struct coffer_call *call, const struct coffer_key_options *key)
{
	*r = (struct coffer_report){
		.call = call, .key = key, .started = now(), .terminal = isatty(STDERR_FILENO)};
	coffer_signals_install();
	return (struct coffer_encrypt_callbacks){.passphrase = key ? ask : NULL,
		.progress = progress,
		.stop = coffer_signals_stop,
		.userdata = r};
}

/* --- the end of a run --- */

static void end_json(const struct coffer_report *r, int code,
	const struct coffer_encrypt_result *res, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_object_new();

	COFFER_PUT(o, "event", "summary");
	COFFER_PUT(o, "verb", r->call->verb);
	COFFER_PUT(o, "device", r->call->device);
	coffer_json_put_outcome(o, code, e);
	COFFER_PUT(o, "dry_run", r->call->dry_run);
	if (res->operation != COFFER_OP_UNKNOWN)
		COFFER_PUT(o, "operation", coffer_operation_name(res->operation));
	COFFER_PUT(o, "resumed", res->resumed);
	COFFER_PUT(o, "finished", res->finished);
	COFFER_PUT(o, "aborted", res->aborted);
	coffer_json_put_known(o, "filesystem", res->filesystem);
	coffer_json_put_known(o, "uuid", res->uuid);
	coffer_json_put_known(o, "cipher", res->cipher);
	COFFER_PUT(o, "sector_size", res->sector_size);
	COFFER_PUT(o, "device_size", res->device_size);
	COFFER_PUT(o, "data_offset", res->data_offset);
	COFFER_PUT(o, "data_size", res->data_size);
	COFFER_PUT(o, "bytes_moved", res->moved);
	COFFER_PUT(o, "bytes_converted", res->converted);
	COFFER_PUT(o, "used_only", res->used_only);
	COFFER_PUT(o, "bytes_used", res->used);
	coffer_json_put_known(o, "all_because", res->all_because);
	if (res->free_space != COFFER_FREE_DEFAULT)
		COFFER_PUT(o, "free_space", coffer_free_space_name(res->free_space));
	if (res->used_only) {
		COFFER_PUT(o, "bytes_scrubbed", res->scrubbed);
		COFFER_PUT(o, "bytes_filled", res->filled);
		COFFER_PUT(o, "bytes_discarded", res->discarded);
	}
	COFFER_PUT(o, "flushes", res->flushes);
	COFFER_PUT(o, "seconds", now() - r->started);
	COFFER_PUT(o, "changed", res->changed);
	if (res->changed)
		COFFER_PUT(o, "stock_tools_kept_out", (bool)!res->unlocked_run);
	COFFER_PUT(o, "segment_copy_kept", res->segment_copy_kept);
	(void)coffer_json_print(o);
}

/* With every option: without one, a run that had not begun would make another volume, or another
 * key would be asked for. */
void coffer_report_resume(const struct coffer_call *call, const char *at, bool key_failed)
{
	(void)fputs("coffer: ", stderr);
	coffer_show_text(stderr, call->device);
	(void)fprintf(stderr, ": interrupted%s", at);
	if (!key_failed) /* else the same command would fail again */
		(void)fprintf(stderr, "; resume with: coffer %s", call->verb);
	for (char **word = call->words; *word && !key_failed; word++)
		coffer_show_word(stderr, *word);
	(void)fputc('\n', stderr);
}

bool coffer_report_key_failed(const struct coffer_report *r, const struct coffer_err *e)
{
	return r->no_key || e->id == COFFER_FINDING_PASSPHRASE;
}

static void show_failure(const struct coffer_report *r, int code,
	const struct coffer_encrypt_result *res, const struct coffer_err *e)
{
	char at[128] = "";

	if (e->id != COFFER_FINDING_STOPPED || !res->changed)
		coffer_show_error(e->msg);
	if (code != COFFER_INTERRUPTED)
		return;
	if (!res->finished && res->used > 0 && res->converted == res->used)
		(void)snprintf(at, sizeof(at), " before the plain copy of the first %s was wiped",
			coffer_size_format(res->data_offset).s);
	else if (res->converted > 0)
		(void)snprintf(at, sizeof(at), " at %s of %s", coffer_size_format(res->converted).s,
			coffer_size_format(res->used).s);
	coffer_report_resume(r->call, at, coffer_report_key_failed(r, e));
}

void coffer_report_unused(FILE *f, enum coffer_free_space free_space, const char *all_because)
{
	static const char *const texts[] = {
		[COFFER_FREE_KEEP] = "kept; deleted files may still be readable "
				     "(see --free-space)",
		[COFFER_FREE_DISCARD] = "discarded; the device may keep deleted files readable "
					"(see --free-space)",
		[COFFER_FREE_FILL] = "overwritten with ciphertext",
	};

	if (all_because[0])
		coffer_show_field(f, "unused", "encrypted, too: %s", all_because);
	if (free_space != COFFER_FREE_DEFAULT)
		coffer_show_field(f, "unused", "%s", texts[free_space]);
}

static void show_dry_run(const struct coffer_report *r, const struct coffer_encrypt_result *res)
{
	static const char *const texts[COFFER_N_OPERATIONS] = {
		[COFFER_OP_FINISH_UNDO] = "finish an interrupted abort, then encrypt",
		[COFFER_OP_REDO_PLACEMENT] = "place the header again, then encrypt",
		[COFFER_OP_FINALIZE] = "wipe the plain copy of the first bytes",
		[COFFER_OP_SYNC_FINAL] = "write the final header to both copies",
	};
	const char *text =
		strcmp(r->call->verb, "abort") == 0 ? "undo the conversion" : texts[res->operation];
	char what[256];

	if (text)
		(void)snprintf(what, sizeof(what), "%s", text);
	else if (res->resumed)
		(void)snprintf(what, sizeof(what), "resume at %s of %s",
			coffer_size_format(res->converted).s, coffer_size_format(res->used).s);
	else
		(void)snprintf(what, sizeof(what),
			"encrypt %s of %s with %s, %" PRIu32 "-byte sectors",
			coffer_size_format(res->used_only ? res->used : res->data_size).s,
			strcmp(res->filesystem, "none") == 0 ? "unrecognized content"
							     : res->filesystem,
			res->cipher, res->sector_size);
	coffer_show_line(
		stderr, "%s: would %s; nothing was written (--dry-run)", r->call->device, what);
	coffer_report_unused(
		stderr, res->used_only ? res->free_space : COFFER_FREE_DEFAULT, res->all_because);
}

static void show_encrypted(const struct coffer_report *r, const struct coffer_encrypt_result *res)
{
	const double seconds = r->converting > 0 ? now() - r->converting : 0;
	const bool kept =
		res->free_space == COFFER_FREE_DISCARD && !res->resumed && !res->discarded;

	coffer_show_line(stderr, "%s: encrypted", r->call->device);
	coffer_show_field(stderr, "volume", "LUKS2 %s", res->uuid);
	coffer_show_field(
		stderr, "cipher", "%s, %" PRIu32 "-byte sectors", res->cipher, res->sector_size);
	coffer_show_field(stderr, "encrypted", "%s in %.1f s (%s/s)",
		coffer_size_format(res->moved).s, seconds,
		coffer_size_format((uint64_t)rate_of(r, res->moved)).s);
	coffer_report_unused(stderr, kept ? COFFER_FREE_KEEP : res->free_space, res->all_because);
	coffer_show_field(stderr, "note", "flash drives may keep old copies of plain blocks");
	if (res->segment_copy_kept)
		coffer_show_field(stderr, "note",
			"the last %s was not wiped, because the filesystem has grown into it; old "
			"plain blocks may be readable there",
			coffer_size_format(res->data_offset).s);
	if (res->unlocked_run)
		coffer_show_unlocked(stderr);
	(void)fputs("  next      coffer header backup --header-backup-file FILE", stderr);
	coffer_show_word(stderr, r->call->device);
	(void)fputc('\n', stderr);
}

int coffer_report_end(struct coffer_report *r, int status,
	const struct coffer_encrypt_result *result, const struct coffer_err *e)
{
	const int code = coffer_err_exit_code(e, status);

	coffer_report_clear(r);
	if (r->call->json)
		end_json(r, code, result, e);
	else if (code != COFFER_DONE)
		show_failure(r, code, result, e);
	else if (r->call->quiet)
		return code;
	else if (r->call->dry_run)
		show_dry_run(r, result);
	else if (!result->aborted)
		show_encrypted(r, result);
	else
		coffer_show_line(
			stderr, "%s: not encrypted; the plain filesystem is back", r->call->device);
	if (result->aborted && result->unlocked_run && !r->call->json)
		coffer_show_unlocked(stderr);
	return code;
}
