/* Tunes a function from C over `trialog stdio`: two pipes and a line of JSON at a time. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *requests, *answers;

static void start(const char *storage) {
    int in[2], out[2];
    if (pipe(in) || pipe(out)) exit(1);
    if (fork() == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        execlp("trialog", "trialog", "stdio", "-s", storage, "--study", "c", "--param", "x=float(-5, 5)", "--seed",
               "1", (char *)0);
        _exit(127);
    }
    close(in[0]), close(out[1]);
    requests = fdopen(in[1], "w");
    answers = fdopen(out[0], "r");
}

/* The answer to a request, which must have gone well. */
static const char *call(const char *request) {
    static char line[65536];
    fprintf(requests, "%s\n", request);
    fflush(requests);
    if (!fgets(line, sizeof line, answers) || strstr(line, "\"error\"")) {
        fprintf(stderr, "%s: %s\n", request, line);
        exit(1);
    }
    return line;
}

static double number_after(const char *line, const char *key) {
    const char *at = strstr(line, key);
    return at ? atof(at + strlen(key)) : 0;
}

int main(int argc, char **argv) {
    start(argc > 1 ? argv[1] : "runs.tlog");
    char request[256];
    for (int id = 1; id <= 40; id += 2) {
        snprintf(request, sizeof request, "{\"id\": %d, \"do\": \"ask\"}", id);
        const char *asked = call(request);
        double x = number_after(asked, "\"x\":");
        int trial = (int)number_after(asked, "\"trial\":");
        snprintf(request, sizeof request, "{\"id\": %d, \"do\": \"tell\", \"trial\": %d, \"value\": %.17g}", id + 1,
                 trial, (x - 2) * (x - 2));
        call(request);
    }
    const char *best = call("{\"id\": 0, \"do\": \"best\"}");
    printf("best %.3f at x = %.3f\n", number_after(best, "\"values\":["), number_after(best, "\"x\":"));
    return 0;
}
