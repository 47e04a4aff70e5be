// SPDX-License-Identifier: LGPL-2.1-or-later
// A C++ program with threads, as an installer is one: it encrypts two images at the same time.
//
//	use-library IMAGE IMAGE: prints the UUIDs of both volumes, or on standard error what went
// wrong
#include <coffer/backup.h>
#include <coffer/doctor.h>
#include <coffer/encrypt.h>
#include <coffer/err.h>
#include <coffer/finding.h>
#include <coffer/finding_id.h>
#include <coffer/header.h>
#include <coffer/holder.h>
#include <coffer/operation.h>
#include <coffer/plan.h>
#include <coffer/repair.h>
#include <coffer/repair_action.h>
#include <coffer/stage.h>
#include <coffer/status.h>
#include <coffer/verify.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>

namespace
{

std::mutex output;
std::atomic<bool> bad{false};

void check(bool good, const std::string &what)
{
	if (good)
		return;
	bad = true;
	const std::lock_guard<std::mutex> lock(output);
	std::cerr << what << '\n';
}

struct job {
	const char *image;
	std::thread::id caller;
	std::atomic<int> *working; // jobs that have come as far as the steps
	bool begun = false;
	bool together = false; // seen at work while the other one was
	uint64_t last = 0;
};

int passphrase(void *, coffer_ask why, uint8_t *buf, size_t size, coffer_err *)
{
	static const char text[] = "open sesame";

	check(why == COFFER_ASK_NEW && size > sizeof(text), "the wrong question");
	std::memcpy(buf, text, sizeof(text) - 1);
	return sizeof(text) - 1;
}

// The library stands in the middle of its work here. Another call that only looks must not wait for
// what this thread holds; it tells of others who are at work, not of this program.
void looked_at_while_at_work(job &j)
{
	struct coffer_status *s = nullptr; // a call has this name too
	coffer_err e{};
	bool seen = false;

	if (coffer_status(j.image, &s, &e) < 0) {
		check(false, e.msg);
		return;
	}
	for (size_t i = 0; i < s->n_holders; i++)
		seen |= s->holders[i].pid == getpid();
	check(s->stage == COFFER_STAGE_PLACED || s->stage == COFFER_STAGE_CONVERTING,
		std::string("at work, but the stage is ") + coffer_stage_name(s->stage));
	check(!seen, "status tells the caller of the caller");
	coffer_status_free(s);
}

// And one that would write must do no harm.
void refused_while_at_work(job &j)
{
	coffer_encrypt_options o{};
	coffer_encrypt_result result;
	coffer_err e{};

	o.device = j.image;
	check(coffer_abort(&o, &result, &e) < 0 && e.outcome == COFFER_REFUSED && !result.changed,
		std::string("a second call on the same image was not refused: ") + e.msg);
}

void progress(void *userdata, const coffer_progress *p)
{
	auto &j = *static_cast<job *>(userdata);

	check(std::this_thread::get_id() == j.caller, "a callback on another thread");
	check(coffer_phase_name(p->phase) != std::string("unknown"), "a phase without name");
	if (p->phase != COFFER_PHASE_CONVERT)
		return;
	check(p->done >= j.last && p->done <= p->total, "progress went backwards");
	j.last = p->done;
	if (!j.begun) {
		j.begun = true;
		*j.working += 1;
		looked_at_while_at_work(j);
		refused_while_at_work(j);
	}
	// Whoever comes first waits for the other.
	for (int i = 0; i < 3000 && *j.working < 2; i++)
		std::this_thread::sleep_for(std::chrono::milliseconds(10));
	j.together = *j.working == 2;
}

void encrypt(job &j)
{
	coffer_encrypt_options o{};
	coffer_encrypt_result result;
	coffer_err e{};

	j.caller = std::this_thread::get_id();
	o.device = j.image;
	o.reserve = 2 << 20;
	o.pbkdf = "pbkdf2";
	o.pbkdf_iterations = 1000;
	o.callbacks.passphrase = passphrase;
	o.callbacks.progress = progress;
	o.callbacks.userdata = &j;
	check(coffer_encrypt(&o, &result, &e) == 0, e.msg);
	check(result.finished && j.together, std::string(j.image) + ": not finished, or alone");
	const std::lock_guard<std::mutex> lock(output);
	std::cout << j.image << ' ' << result.uuid << '\n';
}

// Open ones, without those of /dev/random and /dev/urandom, which libcryptsetup keeps.
long descriptors()
{
	long n = 0;

	for (const auto &fd : std::filesystem::directory_iterator("/proc/self/fd")) {
		std::error_code gone;
		const auto name = std::filesystem::read_symlink(fd.path(), gone).filename();

		n += name != "random" && name != "urandom";
	}
	return n;
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 3)
		return COFFER_USAGE;

	const long before = descriptors();
	std::atomic<bool> done{false};
	// It holds a lock of libc's most of the time, also when the library forks.
	std::thread noise([&done] {
		while (!done)
			(void)std::rand();
	});
	std::atomic<int> working{0};
	job one{argv[1], {}, &working}, two{argv[2], {}, &working};
	std::thread first([&one] { encrypt(one); }), second([&two] { encrypt(two); });

	first.join();
	second.join();
	done = true;
	noise.join();
	check(descriptors() == before, "descriptors are left open");
	check(coffer_phase_name(static_cast<coffer_phase>(12345)) == std::string("unknown"),
		"a number that is no phase has a name");
	return bad ? COFFER_FAILED : COFFER_DONE;
}
