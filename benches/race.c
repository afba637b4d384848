/* Times commands in turn, one run of each in every round, so that a drift of the machine falls on all of them and none
 * finds the caches as it left them. Prints for each its median in milliseconds, and the median of its ratios to another
 * command of the same round.
 *
 * usage: race ROUNDS BASE COMMAND [BASE COMMAND]...     BASE is the number of that other command, from 0; COMMAND is one
 * argument, its words apart by single spaces */

#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { MAX_WORDS = 32, WARMUP = 5 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, count, sizeof *values, order);
    return values[count / 2];
}

int main(int argc, char **argv) {
    extern char **environ;
    int rounds = argc > 1 ? atoi(argv[1]) : 0, count = (argc - 2) / 2;
    if (rounds < 1 || count < 1) return fprintf(stderr, "usage: race ROUNDS BASE COMMAND [BASE COMMAND]...\n"), 2;
    double times[count][rounds], ratios[rounds];
    for (int round = -WARMUP; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            char line[4096], *words[MAX_WORDS + 1], *word = line;
            snprintf(line, sizeof line, "%s", argv[3 + 2 * i]);
            int n = 0;
            while (word && n < MAX_WORDS) words[n++] = strsep(&word, " ");
            words[n] = NULL;
            pid_t child;
            int status = 1;
            double start = now();
            if (posix_spawnp(&child, words[0], NULL, NULL, words, environ) == 0) waitpid(child, &status, 0);
            if (status) return fprintf(stderr, "race: %s: failed\n", argv[3 + 2 * i]), 1;
            if (round >= 0) times[i][round] = now() - start;
        }
    }
    double unsorted[count][rounds];
    memcpy(unsorted, times, sizeof times);
    for (int i = 0; i < count; i++) {
        int base = atoi(argv[2 + 2 * i]);
        for (int round = 0; round < rounds; round++) ratios[round] = unsorted[i][round] / unsorted[base][round];
        printf("%.2f %.2f\n", median(times[i], rounds), median(ratios, rounds));
    }
}
