/* What `gtlock run --write F -- COMMAND` cannot do without, as the least C that does it: the same system
 * calls in the same order, no parsing, no messages, no error handling. The floor for benches/peers.sh,
 * not a tool to use.
 *
 * usage: floor F COMMAND [ARG]...     F has no slash; .gastown/locks exists or can be made */

#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int wake[2];

static void on_signal(int signal) {
    (void)signal;
    send(wake[1], "X", 1, MSG_DONTWAIT);
}

int main(int argc, char **argv) {
    static const int passed_on[] = {SIGHUP,    SIGINT,  SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM,
                                    SIGPROF,   SIGXCPU, SIGXFSZ, SIGIO,   SIGCONT, SIGWINCH, SIGCHLD};
    char dir[PATH_MAX], lock[2 * PATH_MAX], link[256], record[32], old[32];
    struct stat by_fd, by_path;
    if (argc < 3) return 125;

    /* Where the lock file is. */
    if (!realpath(".gastown/locks", dir)) {
        mkdir(".gastown", 0777);
        mkdir(".gastown/locks", 0777);
        if (!realpath(".gastown/locks", dir)) return 125;
    }
    readlink(argv[1], link, sizeof link);
    snprintf(lock, sizeof lock, "%s/%s.lock", dir, argv[1]);

    /* Lock it, and check that the path still names what was locked. */
    int fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) fd = open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0666);
    do {
        if (flock(fd, LOCK_EX)) return 125;
        fstat(fd, &by_fd);
        lstat(lock, &by_path);
    } while (by_fd.st_ino != by_path.st_ino);

    /* Record the holder. */
    pread(fd, old, sizeof old, 0);
    int length = snprintf(record, sizeof record, "%d\n", getpid());
    pwrite(fd, record, length, 0);

    /* Run the command with the lock's descriptor, and with signals passed on. */
    int inherited = fcntl(fd, F_DUPFD, 100);
    close(fd);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wake);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++) sigaction(passed_on[i], &action, NULL);
    posix_spawnattr_t attributes;
    sigset_t mask, defaults;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    setenv("GTLOCK_HELD", "1:1:1", 1);
    pid_t child;
    extern char **environ;
    if (posix_spawnp(&child, argv[2], NULL, &attributes, argv + 2, environ)) return 127;
    int status = 0;
    char byte;
    recv(wake[0], &byte, 1, 0);
    waitpid(child, &status, 0);

    /* Release. */
    lstat(lock, &by_path);
    ftruncate(inherited, 0);
    flock(inherited, LOCK_UN);
    return WEXITSTATUS(status);
}
