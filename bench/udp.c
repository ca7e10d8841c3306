/* Sends datagrams at a given rate, or counts those that it receives. For bench/udp.py.
 *
 *   udp send SOURCE TARGET PORT SIZE RATE SECONDS   prints how many it sent, and in how many seconds
 *   udp count ADDRESS PORT SECONDS                  prints a line when it listens, and at the end how many it received
 *
 * `send` ends after twice SECONDS at the latest, where it can't reach the rate. `count` ends when none has come for IDLE
 * seconds after the first, and after SECONDS at the latest. Linux: sendmmsg(2) and recvmmsg(2).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, SOURCES = 16, LARGEST = 65507, BUFFER = 64 << 20, IDLE = 3 };

static volatile sig_atomic_t over;

static void end(int number) { (void)number; over = 1; }

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in at(const char *address, int port)
{
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
        errx(2, "%s: not an IPv4 address", address);
    return result;
}

static int bound(struct sockaddr_in where)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where))
        err(1, "bind");
    return fd;
}

static void send_all(char **argument)
{
    static char text[LARGEST];
    int fds[SOURCES], size = atoi(argument[3]);
    double rate = atof(argument[4]), seconds = atof(argument[5]), start;
    long sent = 0, total = rate * seconds;
    struct sockaddr_in target = at(argument[1], atoi(argument[2]));
    struct iovec part = {.iov_base = text, .iov_len = size};
    struct mmsghdr batch[BATCH] = {0};

    if (size < 64 || size > LARGEST)
        errx(2, "%d: not a size from 64 to %d", size, LARGEST);
    memset(text, 'x', size);
    memcpy(text, "<13>Jan  1 00:00:00 bench bench: ", 33); /* HAProxy drops what is not syslog */
    for (int n = 0; n < SOURCES; n++) {
        fds[n] = bound(at(argument[0], 0));
        if (connect(fds[n], (struct sockaddr *)&target, sizeof target))
            err(1, "connect");
    }
    for (int n = 0; n < BATCH; n++)
        batch[n].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    start = now();
    for (int source = 0; sent < total && !over && now() < start + 2 * seconds;) {
        long due = (now() - start) * rate + 1 - sent;
        if (due > total - sent)
            due = total - sent;
        if (due <= 0) {
            usleep(500);
            continue;
        }
        int done = sendmmsg(fds[source++ % SOURCES], batch, due < BATCH ? due : BATCH, 0);
        if (done > 0)
            sent += done;
    }
    printf("%ld %.3f\n", sent, now() - start);
}

static void count_all(char **argument)
{
    static char texts[BATCH][2048];
    struct iovec parts[BATCH];
    struct mmsghdr batch[BATCH] = {0};
    int fd = bound(at(argument[0], atoi(argument[1]))), wanted = BUFFER;
    double last = 0, stop = now() + atof(argument[2]);
    long count = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted))
        err(1, "SO_RCVBUFFORCE");
    for (int n = 0; n < BATCH; n++) {
        parts[n] = (struct iovec){.iov_base = texts[n], .iov_len = sizeof texts[n]};
        batch[n].msg_hdr = (struct msghdr){.msg_iov = &parts[n], .msg_iovlen = 1};
    }
    puts("ready");
    fflush(stdout);
    while (!over && now() < stop && (!count || now() < last + IDLE)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, 100) > 0) {
            int got = recvmmsg(fd, batch, BATCH, MSG_DONTWAIT, NULL);
            if (got > 0) {
                count += got;
                last = now();
            }
        }
    }
    printf("%ld\n", count);
}

int main(int number, char **argument)
{
    signal(SIGTERM, end);
    signal(SIGINT, end);
    if (number == 8 && !strcmp(argument[1], "send"))
        send_all(argument + 2);
    else if (number == 5 && !strcmp(argument[1], "count"))
        count_all(argument + 2);
    else
        errx(2, "usage: udp send SOURCE TARGET PORT SIZE RATE SECONDS | udp count ADDRESS PORT SECONDS");
    return 0;
}
