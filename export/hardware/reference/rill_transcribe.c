/* Samples from stdin (16-bit little-endian, 16 kHz, mono) to text on stdout: an example of rill.h.
 *
 * With an argument, tokens and their encoder frames by number in place of the text. */
#include <stdio.h>

#include "rill.h"

static void print_text(void *context, uint16_t token, uint32_t step)
{
    (void)context;
    (void)step;
    fputs(rill_text(token), stdout);
    fflush(stdout);
}

static void print_numbers(void *context, uint16_t token, uint32_t step)
{
    (void)context;
    printf("%u %lu\n", (unsigned)token, (unsigned long)step);
}

int main(int argc, char **argv)
{
    static rill_stream stream;
    unsigned char bytes[2];

    (void)argv;
    rill_begin(&stream, argc > 1 ? print_numbers : print_text, NULL);
    while (fread(bytes, 1, 2, stdin) == 2) {
        int32_t value = bytes[0] | bytes[1] << 8;
        int16_t sample = (int16_t)(value < 32768 ? value : value - 65536);
        rill_push(&stream, &sample, 1);
    }
    rill_finish(&stream);
    if (argc <= 1) {
        putchar('\n');
    }
    return 0;
}
