#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the library gives to its caller, and what it takes from it:
#   - every global name starts with coffer_, so that it collides with nobody
#   - it exports what include/coffer/ declares, no more and no less
#   - it has no variable that two threads could both write, and runs nothing when it is loaded
#   - it prints nothing, ends nothing and changes nothing that belongs to the whole process
. "$(dirname "$0")/../lib/tap.sh"
build=${COFFER_BUILD:-build}
lib=$build/libcoffer-internal.a
shared=$build/libcoffer.so
map=src/libcoffer.map
node=COFFER_0

# Only in child processes: they end without exit(), which would flush the caller's files a second
# time; they alone die with their parent; one becomes a filesystem's checker, with the signals as
# that expects them; and one tells libdevmapper that there is no udev.
allowed='src_fs_fsck.c.o _exit
src_fs_fsck.c.o execve
src_fs_fsck.c.o prctl
src_fs_fsck.c.o setrlimit64
src_fs_fsck.c.o signal
src_fs_fsck.c.o sigprocmask
src_io_child.c.o _exit
src_luks2_libcryptsetup.c.o setenv'

prints='printf vprintf puts putchar puts_unlocked putchar_unlocked perror psignal psiginfo stdin
	stdout stderr err errx verr verrx warn warnx vwarn vwarnx error error_at_line syslog vsyslog
	getpass'
ends='exit _exit _Exit quick_exit abort raise __assert_fail __assert_perror_fail __assert execl
	execle execlp execv execve execvp execvpe execveat fexecve'
process='chdir fchdir chroot umask setlocale signal sigaction sigprocmask setenv putenv unsetenv
	clearenv atexit on_exit setuid setgid setgroups setsid setrlimit setrlimit64 prctl mlockall
	munlockall alarm setitimer'
threads='strtok asctime ctime gmtime localtime getpwnam getpwuid getgrnam getgrgid getmntent rand
	srand tmpnam mktemp strsignal'

# globals NM-OPTION... FILE: defined names that break the rule; "A" marks version nodes
globals()
{
	nm --defined-only --format=posix "$@" 2>&1 |
		awk 'NF >= 2 && $2 != "A" && $1 !~ /^coffer_/ { print $1 }'
}

# code_of HEADER...: in one line, without comments and directives
code_of() { cat "$@" | sed '/^#/d' | tr '\n' ' ' | sed -E 's,/\*([^*]|\*+[^*/])*\*+/, ,g'; }

# exported_by HEADER...: names of the functions that carry COFFER_API
exported_by()
{
	code_of "$@" | grep -oE '\bCOFFER_API\b[^;(]*\(' |
		sed -E 's/.*[^A-Za-z0-9_]([A-Za-z0-9_]+) *\($/\1/' | sort
}

# functions_of HEADER...: names of all functions; pointers to functions are named otherwise
functions_of() { code_of "$@" | grep -oE '\bcoffer_[a-z0-9_]+ *\(' | tr -d ' (' | sort; }

# listed_in MAP: the names between "global:" and "local:"
listed_in() { sed -n '/^global:/,/^local:/s/^\t\([a-z0-9_]*\);$/\1/p' "$1" | sort; }

# exports_of LIBRARY
exports_of()
{
	nm -D --defined-only --with-symbol-versions --format=posix "$1" |
		awk -v node="@@$node" '
			$2 == "A" { next }
			sub(node "$", "", $1) { print $1; next }
			{ print $1 " without the version " node }' | sort
}

# difference NAME ONE NAME OTHER: lines that only one of two lists has
difference()
{
	comm -23 <(echo "$2") <(echo "$4") | awk -v where="$1" '{ print "only in " where ": " $0 }'
	comm -13 <(echo "$2") <(echo "$4") | awk -v where="$3" '{ print "only in " where ": " $0 }'
}

# writable FILE: sections that can be written while the program runs; what only the loader writes
# (.data.rel.ro: tables of constant pointers) is read-only by then
writable()
{
	readelf -SW "$1" | sed 's/\[ */[/' | awk '
		/^File:/ { file = $2 " " }
		$1 ~ /^\[[0-9]+\]$/ && $8 ~ /W/ && $8 ~ /A/ && $6 !~ /^0+$/ &&
			$2 !~ /^\.data\.rel\.ro(\.|$)/ { print file $2 " (" $6 " bytes)" }'
	nm -A --format=posix "$1" | awk '$3 == "C" { print $1 " " $2 " (common)" }'
}

# calls FILE NAME...: which of the names its objects ask for, as "OBJECT NAME"
calls()
{
	local file=$1
	shift
	nm -A -u --format=posix "$file" | awk -v list="$*" '
		BEGIN { n = split(list, names); for (i = 1; i <= n; i++) bad[names[i]] = 1 }
		{
			sub(/\]?:$/, "", $1); sub(/^.*[[\/]/, "", $1)
			name = $2; sub(/@.*/, "", name)
			if (name in bad) print $1, name
			else if (name ~ /^__.*_chk$/) { # what _FORTIFY_SOURCE makes of it
				sub(/^__/, "", name); sub(/_chk$/, "", name)
				if (name in bad) print $1, name
			}
		}' | sort -u
}

# unexpected FINDINGS: those that are not allowed
unexpected() { grep -vxF -e "$allowed" <<<"$1" | grep . || true; }

# found WHAT FINDINGS: a check that cannot fail proves nothing
found() { check "$1 is found out" "$([ -n "$2" ] || echo 'nobody noticed')"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/errors"

# compile C-TEXT: an object in the scratch folder, whose path it prints
compile()
{
	printf '%s\n' "$1" | ${CC:-cc} -w -O2 -fPIC -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fcommon \
		-x c -c -o "$scratch/x.o" - 2>>"$scratch/errors"
	echo "$scratch/x.o"
}

if [ ! -e "$lib" ] || [ ! -e "$shared" ]; then
	check 'symbols of the library' "$lib or $shared is not built"
	done_testing
fi

check 'globals of the internal library' "$(globals -g "$lib")"

# --- exports --------------------------------------------------------------------------------------

headers=(include/coffer/*.h)
declared=$(exported_by "${headers[@]}")
check 'public headers: every function has COFFER_API' \
	"$(difference functions "$(functions_of "${headers[@]}")" COFFER_API "$declared")"
check 'public headers and map' "$(difference headers "$declared" "$map" "$(listed_in "$map")")"
check 'public headers and exports' \
	"$(difference headers "$declared" "$shared" "$(exports_of "$shared")")"

cat "${headers[@]}" >"$scratch/more.h"
cat >>"$scratch/more.h" <<'EOF'
/* COFFER_API int coffer_in_a_comment(void); */
COFFER_API const struct coffer_device_id *const *
	coffer_one_more (int (*callback)(void *user), ...) __attribute__((format(printf, 1, 2)));
EOF
check 'a declaration is read as the compiler reads it' \
	"$(difference wanted "$(sort <<<"$declared"$'\ncoffer_one_more')" got "$(exported_by "$scratch/more.h")")"
found 'a function more in the headers' \
	"$(difference headers "$(exported_by "$scratch/more.h")" map "$(listed_in "$map")")"
grep -v coffer_encrypt "$map" >"$scratch/less.map"
found 'a function less in the map' \
	"$(difference headers "$declared" map "$(listed_in "$scratch/less.map")")"
echo 'int coffer_forgotten(void);' >>"$scratch/more.h"
found 'a function without COFFER_API' "$(difference functions "$(functions_of "$scratch/more.h")" \
	COFFER_API "$(exported_by "$scratch/more.h")")"
# Without the map a library exports what its objects show.
${CC:-cc} -shared -o "$scratch/bare.so" "$(compile 'int coffer_encrypt(void) { return 0; }')"
found 'an export without version' \
	"$(difference headers coffer_encrypt bare "$(exports_of "$scratch/bare.so")")"

# --- state ----------------------------------------------------------------------------------------

# Only the mark which makes one thread the first to use libcryptsetup, which keeps no order itself.
once='src_luks2_libcryptsetup.c.o] .bss (000004 bytes)'
check 'no writable data' "$(writable "$lib" | grep -vF "$once" || true)"
check 'all of it that is allowed is needed' "$(writable "$lib" | grep -qF "$once" || echo "no $once")"
check 'tables of constant pointers are no writable data' "$(writable "$(compile '
	static const char *const names[] = {"one", "two"};
	const char *name(int i) { return names[i]; }')")"
for text in 'int global = 1;' 'int zero;' 'int f(void) { static int n; return n++; }' \
	'static const char *names[] = {"one"}; const char **f(void) { return names; }' \
	'__thread int of_thread;' '__attribute__((constructor)) void f(void) { }'; do
	found "'$text'" "$(writable "$(compile "$text")")"
done

# --- calls ----------------------------------------------------------------------------------------

# shellcheck disable=SC2086  # lists of words, here and below
{
	check 'prints nothing' "$(unexpected "$(calls "$lib" $prints)")"
	check 'ends nothing' "$(unexpected "$(calls "$lib" $ends)")"
	check 'changes nothing of the process' "$(unexpected "$(calls "$lib" $process)")"
	check 'calls nothing that two threads must not' "$(unexpected "$(calls "$lib" $threads)")"
	check 'all that is allowed is needed' \
		"$(difference allowed "$allowed" calls "$(calls "$lib" $ends $process | grep -xF -e "$allowed")")"
}
while IFS='|' read -r list text; do
	# shellcheck disable=SC2086
	found "'$text'" "$(calls "$(compile "#include <assert.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>
		#include <err.h>
		#include <sys/stat.h>
		int f(int n, char *s) { $text; return n; }")" ${!list})"
done <<'EOF'
prints|printf("%d", n)
prints|puts(s)
prints|putchar(n)
prints|fprintf(stderr, "%d", n)
prints|fputs(s, stdout)
prints|perror(s)
prints|warnx("%d", n)
ends|exit(n)
ends|_exit(n)
ends|abort()
ends|assert(n)
prints|errx(n, "%s", s)
process|umask(n)
threads|strtok(s, s)
EOF
# shellcheck disable=SC2086
check 'writing to a file of its own or to memory is no printing' "$(calls "$(compile '#include <stdio.h>
	void f(FILE *own, char *s, int n) { fprintf(own, "%d", n); snprintf(s, n, "%d", n); }')" $prints)"
check 'all of these samples were compiled' "$(cat "$scratch/errors")"
done_testing
