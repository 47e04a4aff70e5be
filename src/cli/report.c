/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* report.c - progress and summary of a run, for people or as JSON lines */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"
#include "base/size.h"
#include "cli/cli.h"
#include "cli/show.h"

enum {
	BAR_WIDTH = 30
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void coffer_report_begin(struct coffer_report *r, const struct coffer_call *call,
	const struct coffer_key_options *key)
{
	*r = (struct coffer_report){.call = call, .key = key, .started = now()};
	r->terminal = isatty(STDERR_FILENO);
	coffer_signals_install();
}

/* Bytes per second over the moved part, and the seconds the rest will take; 0 when unknown. */
static void estimate(
	const struct coffer_report *r, const struct coffer_progress *p, double *rate, double *eta)
{
	const double seconds = r->converting > 0 ? now() - r->converting : 0;

	*rate = seconds > 0 ? (double)p->moved / seconds : 0;
	*eta = *rate > 0 ? (double)(p->total - p->done) / *rate : 0;
}

static void progress_json(const struct coffer_report *r, const struct coffer_progress *p)
{
	_cleanup_json_ struct json_object *o = coffer_json_object_new();
	double rate, eta;

	estimate(r, p, &rate, &eta);
	(void)coffer_json_put_string(o, "event", "progress");
	coffer_json_put_text(o, "device", r->call->device);
	(void)coffer_json_put_string(o, "phase", coffer_phase_name(p->phase));
	(void)coffer_json_put_u64(o, "done", p->done);
	(void)coffer_json_put_u64(o, "total", p->total);
	(void)coffer_json_put_u64(o, "moved", p->moved);
	(void)coffer_json_put_double(o, "bytes_per_second", rate);
	(void)coffer_json_put_double(o, "eta_seconds", eta);
	/* Not an error: the reader of the progress may have gone away. */
	(void)coffer_json_print(o);
}

void coffer_report_clear(struct coffer_report *r)
{
	if (r->bar_shown)
		(void)fputs("\r\033[K", stderr);
	r->bar_shown = false;
}

/* "03:07", or "5:03:07" from an hour on; "--:--" while the rate is unknown. */
static void format_eta(char text[24], double rate, double eta)
{
	const uint64_t seconds = (uint64_t)eta;

	if (rate <= 0)
		(void)snprintf(text, 24, "--:--");
	else if (seconds < 3600)
		(void)snprintf(text, 24, "%02" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
	else
		(void)snprintf(text, 24, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600,
			seconds / 60 % 60, seconds % 60);
}

static unsigned int terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col;
}

/* One line, redrawn: it must stay below the terminal's width, or it would scroll. */
static void show_line(struct coffer_report *r, const char *text)
{
	(void)fprintf(stderr, "\r\033[K%.*s", (int)terminal_width() - 1, text);
	(void)fflush(stderr);
	r->bar_shown = true;
}

static void progress_bar(
	struct coffer_report *r, const struct coffer_progress *p, unsigned int percent)
{
	const double t = now();
	double rate, eta;
	char bar[BAR_WIDTH + 1], left[24], facts[128], line[256];
	int room;

	if (t - r->last_shown < 0.1 && p->done != p->total)
		return;
	r->last_shown = t;
	estimate(r, p, &rate, &eta);
	format_eta(left, rate, eta);
	(void)snprintf(facts, sizeof(facts), "%3u %%  %s of %s  %s/s  %s left", percent,
		coffer_size_format(p->done).s, coffer_size_format(p->total).s,
		coffer_size_format((uint64_t)rate).s, left);
	room = (int)terminal_width() - (int)strlen(facts) - 5;
	if (room > BAR_WIDTH)
		room = BAR_WIDTH;
	if (room < 5) {
		show_line(r, facts);
		return;
	}
	memset(bar, '.', (size_t)room);
	memset(bar, '#', percent * (unsigned int)room / 100);
	bar[room] = '\0';
	(void)snprintf(line, sizeof(line), "[%s] %s", bar, facts);
	show_line(r, line);
}

static void progress_line(
	struct coffer_report *r, const struct coffer_progress *p, unsigned int percent)
{
	double rate, eta;

	if (r->last.total > 0 && percent < r->percent + 5 && p->done != p->total)
		return;
	r->percent = percent - percent % 5;
	estimate(r, p, &rate, &eta);
	(void)fprintf(stderr, "%s: %3u %%, %s of %s", r->call->device, percent,
		coffer_size_format(p->done).s, coffer_size_format(p->total).s);
	if (rate > 0)
		(void)fprintf(
			stderr, ", %s/s, %.0f s left", coffer_size_format((uint64_t)rate).s, eta);
	(void)fputc('\n', stderr);
}

static void progress(void *userdata, const struct coffer_progress *p)
{
	struct coffer_report *r = userdata;
	const unsigned int percent =
		p->total ? (unsigned int)((double)p->done * 100 / (double)p->total) : 0;

	/* From here on the ciphers of the engine hold a volume key. */
	if ((p->phase == COFFER_PHASE_CONVERT || p->phase == COFFER_PHASE_FINALIZE) && !r->locked) {
		coffer_memory_lock();
		r->locked = true;
	}
	if (p->phase == COFFER_PHASE_CONVERT && r->converting == 0) {
		r->converting = now();
		if (r->terminal && !r->call->json && !r->call->quiet)
			coffer_signals_announce();
	}
	if (r->call->json)
		progress_json(r, p);
	else if (!r->call->quiet && r->terminal && p->phase == COFFER_PHASE_DERIVE)
		show_line(r, "deriving the key; this takes some seconds, on purpose ...");
	else if (r->call->quiet || p->phase != COFFER_PHASE_CONVERT)
		; /* the other phases take seconds, and the summary names them */
	else if (r->terminal)
		progress_bar(r, p, percent);
	else
		progress_line(r, p, percent);
	if (p->phase == COFFER_PHASE_CONVERT)
		r->last = *p;
}

static int ask(void *userdata, enum coffer_ask why, uint8_t *buf, size_t size, struct coffer_err *e)
{
	const struct coffer_report *r = userdata;

	return coffer_read_key(r->key, r->call->device, why, buf, size, e);
}

struct coffer_encrypt_callbacks coffer_report_callbacks(struct coffer_report *r)
{
	return (struct coffer_encrypt_callbacks){.passphrase = r->key ? ask : NULL,
		.progress = progress,
		.stop = coffer_signals_stop,
		.userdata = r};
}

/* Used blocks, and the handling of the others. */
static void put_used(struct json_object *o, const struct coffer_encrypt_result *res)
{
	(void)coffer_json_put_bool(o, "used_only", res->used_only);
	(void)coffer_json_put_u64(o, "bytes_used", res->used);
	coffer_json_put_known(o, "all_because", res->all_because);
	if (res->free_space != COFFER_FREE_DEFAULT)
		(void)coffer_json_put_string(
			o, "free_space", coffer_free_space_name(res->free_space));
	if (!res->used_only)
		return;
	(void)coffer_json_put_u64(o, "bytes_scrubbed", res->scrubbed);
	(void)coffer_json_put_u64(o, "bytes_filled", res->filled);
	(void)coffer_json_put_u64(o, "bytes_discarded", res->discarded);
}

static void end_json(const struct coffer_report *r, int code,
	const struct coffer_encrypt_result *res, const struct coffer_err *e)
{
	_cleanup_json_ struct json_object *o = coffer_json_object_new();

	(void)coffer_json_put_string(o, "event", "summary");
	(void)coffer_json_put_string(o, "verb", r->call->verb);
	coffer_json_put_text(o, "device", r->call->device);
	(void)coffer_json_put_string(o, "outcome", coffer_outcome_name(code));
	(void)coffer_json_put_u64(o, "exit_code", (uint64_t)code);
	if (code != COFFER_DONE)
		coffer_json_put_error(o, e);
	(void)coffer_json_put_bool(o, "dry_run", r->call->dry_run);
	if (res->operation != COFFER_OP_UNKNOWN)
		(void)coffer_json_put_string(o, "operation", coffer_operation_name(res->operation));
	(void)coffer_json_put_bool(o, "resumed", res->resumed);
	(void)coffer_json_put_bool(o, "finished", res->finished);
	(void)coffer_json_put_bool(o, "aborted", res->aborted);
	coffer_json_put_known(o, "filesystem", res->filesystem);
	coffer_json_put_known(o, "uuid", res->uuid);
	coffer_json_put_known(o, "cipher", res->cipher);
	(void)coffer_json_put_u64(o, "sector_size", res->sector_size);
	(void)coffer_json_put_u64(o, "device_size", res->device_size);
	(void)coffer_json_put_u64(o, "data_offset", res->data_offset);
	(void)coffer_json_put_u64(o, "data_size", res->data_size);
	(void)coffer_json_put_u64(o, "bytes_moved", res->moved);
	(void)coffer_json_put_u64(o, "bytes_converted", res->converted);
	put_used(o, res);
	(void)coffer_json_put_u64(o, "flushes", res->flushes);
	(void)coffer_json_put_double(o, "seconds", now() - r->started);
	(void)coffer_json_put_bool(o, "changed", res->changed);
	if (res->changed)
		(void)coffer_json_put_bool(o, "stock_tools_kept_out", !res->unlocked_run);
	(void)coffer_json_put_bool(o, "segment_copy_kept", res->segment_copy_kept);
	(void)coffer_json_print(o);
}

/* With every option: without one, a run that had not begun would make another volume, or another
 * key would be asked for. */
void coffer_report_command(const struct coffer_call *call)
{
	(void)fprintf(stderr, "coffer %s", call->verb);
	for (char **word = call->words; *word; word++)
		coffer_show_word(stderr, *word);
	(void)fputc('\n', stderr);
}

/* Every step is committed, and the final header is not. */
static bool only_end_is_left(const struct coffer_encrypt_result *res)
{
	return !res->finished && res->used > 0 && res->converted == res->used;
}

static void say_error(const struct coffer_report *r, int code,
	const struct coffer_encrypt_result *res, const struct coffer_err *e)
{
	coffer_show_error(e->msg);
	if (code != COFFER_INTERRUPTED)
		return;
	(void)fputs("coffer: ", stderr);
	if (only_end_is_left(res))
		(void)fprintf(stderr,
			"All is encrypted, but the plain copy of the first %s may still be there. ",
			coffer_size_format(res->data_offset).s);
	else if (res->converted > 0 && r->last.total > 0)
		(void)fprintf(stderr, "%s of %s are encrypted. ",
			coffer_size_format(r->last.done).s, coffer_size_format(r->last.total).s);
	else if (res->converted > 0)
		(void)fprintf(stderr, "%s of %s are encrypted. ",
			coffer_size_format(res->converted).s, coffer_size_format(res->used).s);
	(void)fputs("Nothing is lost; go on with: ", stderr);
	coffer_report_command(r->call);
}

/* How a dry run would handle free space. */
static const char *const intents[] = {
	[COFFER_FREE_DEFAULT] = "",
	[COFFER_FREE_KEEP] = "free space would be left as it is",
	[COFFER_FREE_DISCARD] = "free space would be given back to the device",
	[COFFER_FREE_FILL] = "free space would be overwritten with ciphertext",
};

/* Used blocks and the handling of the others, or why everything counted as used. */
static void say_used(const struct coffer_encrypt_result *res, bool dry_run)
{
	struct coffer_size_text used = coffer_size_format(res->used);
	struct coffer_size_text all = coffer_size_format(res->data_size);

	if (res->all_because[0])
		coffer_show_field(stderr, "used",
			"free blocks %s encrypted, too, since it is not certain which they are "
			"(%s)",
			dry_run ? "would be" : "were", res->all_because);
	if (!res->used_only)
		return;
	if (dry_run)
		coffer_show_field(
			stderr, "used", "%s of %s; %s", used.s, all.s, intents[res->free_space]);
	else
		coffer_show_field(stderr, "used", "%s of %s", used.s, all.s);
	if (res->filled > 0)
		coffer_show_field(stderr, "free space", "%s were overwritten with ciphertext",
			coffer_size_format(res->filled).s);
	if (res->discarded > 0)
		coffer_show_field(stderr, "free space", "%s were given back to the device",
			coffer_size_format(res->discarded).s);
}

static void say_dry_run(const struct coffer_report *r, const struct coffer_encrypt_result *res)
{
	const char *device = r->call->device;

	if (strcmp(r->call->verb, "abort") == 0)
		(void)fprintf(stderr,
			"%s: the plain filesystem would come back: %s at its start from their "
			"copy\n",
			device, coffer_size_format(res->data_offset).s);
	else if (res->operation == COFFER_OP_FINISH_UNDO)
		(void)fprintf(stderr,
			"%s: an interrupted abort would be finished, then a new conversion begun\n",
			device);
	else if (res->resumed && only_end_is_left(res))
		(void)fprintf(stderr,
			"%s: all is encrypted; the plain copy of the first %s would be wiped, and "
			"the final header written\n",
			device, coffer_size_format(res->data_offset).s);
	else if (res->resumed && res->data_size == 0)
		(void)fprintf(
			stderr, "%s: the final header would be written to both copies\n", device);
	else if (res->resumed)
		(void)fprintf(stderr,
			"%s: an interrupted conversion would go on: %s of %s are converted\n",
			device, coffer_size_format(res->converted).s,
			coffer_size_format(res->used).s);
	else
		(void)fprintf(stderr,
			"%s: %s of %s would be encrypted with %s in sectors of %" PRIu32
			"; every preflight check passed\n",
			device, coffer_size_format(res->used_only ? res->used : res->data_size).s,
			strcmp(res->filesystem, "none") == 0 ? "content that coffer does not know"
							     : res->filesystem,
			res->cipher, res->sector_size);
	say_used(res, true);
	(void)fprintf(stderr, "%s: nothing was changed (--dry-run)\n", device);
}

/* Where plain bytes may still be found. For free space this holds for the whole volume, including
 * what earlier runs have passed. */
static void say_unprotected(const struct coffer_encrypt_result *res)
{
	const char *what = NULL;

	if (res->free_space == COFFER_FREE_KEEP)
		what = res->resumed || res->filled || res->discarded
			       ? "free space, or a part of it, was left as it was"
			       : "free space was left as it was";
	else if (res->free_space == COFFER_FREE_DISCARD)
		what = res->resumed || res->discarded ? "the device was asked to discard free "
							"space, and may have ignored it"
						      : "the device took no free space back";
	if (what)
		coffer_show_field(stderr, "unprotected",
			"%s: what was deleted from the filesystem earlier may still be readable "
			"there, until new files overwrite it",
			what);
	coffer_show_field(stderr, "unprotected",
		"on flash, old plain blocks may survive where the drive keeps spare copies");
	if (res->segment_copy_kept)
		coffer_show_field(stderr, "unprotected",
			"the volume was used before the conversion ended and reaches into the last "
			"%s; old plain blocks may be left there until its free space is filled",
			coffer_size_format(res->data_offset).s);
}

static void say_encrypted(const struct coffer_report *r, const struct coffer_encrypt_result *res)
{
	const char *device = r->call->device;
	const double end = now();
	const double seconds = end - r->started;
	const double moving = r->converting > 0 ? end - r->converting : 0;

	(void)fprintf(stderr, "%s: encrypted%s. LUKS2 volume %s\n", device,
		res->resumed ? ", after an interruption" : "", res->uuid);
	coffer_show_field(stderr, "moved",
		"%s in %.1f s (%s/s; %.1f s in all), %" PRIu64 " flushes, %s, sectors of %" PRIu32,
		coffer_size_format(res->moved).s, moving,
		coffer_size_format(moving > 0 ? (uint64_t)((double)res->moved / moving) : 0).s,
		seconds, res->flushes, res->cipher, res->sector_size);
	say_used(res, false);
	say_unprotected(res);
	if (res->unlocked_run)
		coffer_show_unlocked(stderr);
	(void)fputs("  next         back up the header, away from this disk:\n"
		    "               coffer header backup --header-backup-file FILE",
		stderr);
	coffer_show_word(stderr, device);
	(void)fputc('\n', stderr);
}

static void say_aborted(const struct coffer_report *r, const struct coffer_encrypt_result *res)
{
	(void)fprintf(stderr, "%s: the plain filesystem is back\n", r->call->device);
	if (res->unlocked_run)
		coffer_show_unlocked(stderr);
}

int coffer_report_end(struct coffer_report *r, int status,
	const struct coffer_encrypt_result *result, const struct coffer_err *e)
{
	const int code = coffer_err_exit_code(e, status);

	coffer_report_clear(r);
	if (r->call->json)
		end_json(r, code, result, e);
	else if (code != COFFER_DONE)
		say_error(r, code, result, e);
	else if (r->call->quiet)
		;
	else if (r->call->dry_run)
		say_dry_run(r, result);
	else if (result->aborted)
		say_aborted(r, result);
	else
		say_encrypted(r, result);
	return code;
}
