/* Compute the vectors of a hardware bundle, for `python -m hwckpt.conformance BUNDLE --against OUT`.
 *
 * rill_dump BUNDLE OUT reads BUNDLE/vectors/cases.txt, a case a line (its kind, its name, its layer), and writes
 * OUT/NAME/ARRAY.bin, little-endian. A host program: what a board does in its place is up to the board. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rill_model.h"

static char folder[1024]; /* of the case that runs */
static struct {
    char name[256];
    FILE *file;
} files[64]; /* that it writes */
static int32_t acc_row[4 * RILL_MOST_UNITS], z_row[4 * RILL_MOST_UNITS];
static int tracing;

static void stop(const char *what, const char *name)
{
    fprintf(stderr, "rill_dump: %s %s\n", what, name);
    exit(3);
}

static FILE *open_file(const char *in, const char *name, const char *mode)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s.bin", in, name);
    FILE *file = fopen(path, mode);
    if (!file) {
        stop("cannot open", path);
    }
    return file;
}

/* Return the file of an array of the case that runs. */
static FILE *file_of(const char *name)
{
    unsigned n = 0;
    for (; files[n].file; n++) {
        if (!strcmp(files[n].name, name)) {
            return files[n].file;
        }
    }
    snprintf(files[n].name, sizeof files[n].name, "%s", name);
    return files[n].file = open_file(folder, name, "wb");
}

static void close_files(void)
{
    for (unsigned n = 0; files[n].file; n++) {
        fclose(files[n].file);
        files[n].file = NULL;
    }
}

/* Append integers of `size` bytes each, least significant byte first. */
static void append(const char *name, const void *values, size_t size, size_t count)
{
    if (!tracing) {
        return;
    }
    FILE *file = file_of(name);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = (const unsigned char *)values + i * size;
        uint32_t value = size == 1 ? *at
                       : size == 2 ? *(const uint16_t *)(const void *)at
                                   : *(const uint32_t *)(const void *)at;
        for (size_t byte = 0; byte < size; byte++) {
            putc((int)(value >> (8 * byte) & 255), file);
        }
    }
}

static void append_layer(const char *stack, unsigned n, const char *part, const void *values, size_t size, size_t count)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%u.%s", stack, n, part);
    append(name, values, size, count);
}

static void keep_gate(unsigned row, int64_t acc, int64_t z)
{
    acc_row[row] = (int32_t)acc;
    z_row[row] = (int32_t)z;
}

/* Tokens and their frames come as `keep_token` is given them. */
static void trace(const char *name, const void *values, size_t size, size_t count)
{
    if (strcmp(name, "tokens") && strcmp(name, "steps")) {
        append(name, values, size, count);
    }
}

#define RILL_TRACE(name, values, count) trace(name, values, sizeof *(values), count)
#define RILL_TRACE_LAYER(stack, n, part, values, count) append_layer(stack, n, part, values, sizeof *(values), count)
#define RILL_TRACE_GATES(row, acc, z) keep_gate(row, acc, z)
#include "rill.c"

/* Read the next `count` integers of a file; returns whether there are any. */
static int read_row(FILE *file, void *values, size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t value = 0;
        for (size_t byte = 0; byte < size; byte++) {
            int next = getc(file);
            if (next == EOF) {
                return 0;
            }
            value |= (uint32_t)next << (8 * byte);
        }
        if (size == 1) {
            ((uint8_t *)values)[i] = (uint8_t)value;
        } else if (size == 2) {
            ((uint16_t *)values)[i] = (uint16_t)value;
        } else {
            ((uint32_t *)values)[i] = value;
        }
    }
    return 1;
}

static void keep_token(void *context, uint16_t token, uint32_t step)
{
    if (context != folder || strcmp(rill_text(token), rill_token_text[token])) {
        stop("another context or text in", folder);
    }
    append("tokens", &token, sizeof token, 1);
    append("steps", &step, sizeof step, 1);
}

/* Push a stream in blocks of 1, 2, 3, ... samples. */
static void run_stream(const char *in)
{
    static rill_stream stream;
    static int16_t samples[2000];
    FILE *pcm = open_file(in, "pcm", "rb");

    rill_begin(&stream, keep_token, folder);
    for (unsigned most = 1, count = 1; count > 0; most = most % 2000 + 1) {
        count = 0;
        while (count < most && read_row(pcm, samples + count, 2, 1)) {
            count++;
        }
        rill_push(&stream, samples, count);
    }
    rill_finish(&stream);
    fclose(pcm);
}

#if RILL_GAIN_CONTROL
static void run_gain(const char *in)
{
    static rill_stream stream;
    int32_t frame[RILL_BINS];
    FILE *frames = open_file(in, "log2_mel", "rb");
    FILE *backgrounds = open_file(in, "background_before", "rb"), *peaks = open_file(in, "peak_before", "rb");

    while (read_row(frames, frame, 4, RILL_BINS) && read_row(backgrounds, &stream.background, 4, 1)
           && read_row(peaks, &stream.peak, 4, 1)) {
        control_gain(&stream, frame);
        append("frames", frame, sizeof *frame, RILL_BINS);
    }
    fclose(frames);
    fclose(backgrounds);
    fclose(peaks);
}
#endif

#if RILL_GATE
/* Read the gate's state before a frame: the next row of three files. */
static void read_gate(FILE *const *files, rill_stream *stream)
{
    read_row(files[0], &stream->level, 4, 1);
    read_row(files[1], &stream->level_background, 4, 1);
    read_row(files[2], &stream->frames_left, 4, 1);
}
#endif

static void run_normaliser(const char *in)
{
    static rill_stream stream;
    int32_t frame[RILL_BINS];
    int8_t x[RILL_BINS];
    FILE *frames = open_file(in, "frames", "rb");
    FILE *means = open_file(in, "mean_before", "rb"), *variances = open_file(in, "variance_before", "rb");
#if RILL_GATE
    FILE *gate[] = {open_file(in, "level_before", "rb"), open_file(in, "level_background_before", "rb"),
                    open_file(in, "frames_left_before", "rb")};
#endif

    while (read_row(frames, frame, 4, RILL_BINS) && read_row(means, stream.mean, 4, RILL_BINS)
           && read_row(variances, stream.variance, 4, RILL_BINS)) {
#if RILL_GATE
        read_gate(gate, &stream);
#endif
        normalise(&stream, frame, x);
        append("x", x, sizeof *x, RILL_BINS);
    }
    fclose(frames);
    fclose(means);
    fclose(variances);
#if RILL_GATE
    for (unsigned n = 0; n < 3; n++) {
        fclose(gate[n]);
    }
#endif
}

static void run_lstm(const char *in, const rill_lstm *layer)
{
    static int8_t x[65536], h[RILL_MOST_UNITS];
    static int16_t c[RILL_MOST_UNITS];
    FILE *xs = open_file(in, "x", "rb"), *hs = open_file(in, "h_before", "rb"), *cs = open_file(in, "c_before", "rb");

    while (read_row(xs, x, 1, layer->inputs) && read_row(hs, h, 1, layer->units) && read_row(cs, c, 2, layer->units)) {
        rill_lstm_step(layer, x, h, c);
        append("acc", acc_row, sizeof *acc_row, 4u * layer->units);
        int16_t z[4 * RILL_MOST_UNITS];
        for (unsigned row = 0; row < 4u * layer->units; row++) {
            z[row] = (int16_t)z_row[row];
        }
        append("z", z, sizeof *z, 4u * layer->units);
        append("c", c, sizeof *c, layer->units);
        append("h", h, sizeof *h, layer->units);
    }
    fclose(xs);
    fclose(hs);
    fclose(cs);
}

static void run_projection(const char *in, const rill_linear *layer)
{
    static int8_t h[65536];
    static int16_t out[RILL_JOINT];
    FILE *file = open_file(in, "h", "rb");

    while (read_row(file, h, 1, layer->inputs)) {
        rill_project(layer, h, out);
        append("e", out, sizeof *out, layer->outputs);
    }
    fclose(file);
}

static void run_joint(const char *in)
{
    static int16_t e[RILL_JOINT], g[RILL_JOINT];
    FILE *es = open_file(in, "e", "rb"), *gs = open_file(in, "g", "rb");

    while (read_row(es, e, 2, RILL_JOINT) && read_row(gs, g, 2, RILL_JOINT)) {
        rill_join(e, g);
    }
    fclose(es);
    fclose(gs);
}

static void run_case(const char *kind, const char *in, const char *layer)
{
    unsigned n = (unsigned)strtoul(strrchr(layer, '.') ? strrchr(layer, '.') + 1 : "0", NULL, 10);

    tracing = 1;
    if (!strcmp(kind, "stream")) {
        run_stream(in);
#if RILL_GAIN_CONTROL
    } else if (!strcmp(kind, "gain")) {
        run_gain(in);
#endif
    } else if (!strcmp(kind, "normaliser")) {
        run_normaliser(in);
    } else if (!strcmp(kind, "joint")) {
        run_joint(in);
    } else if (!strcmp(kind, "projection")) {
        run_projection(in, strcmp(layer, "joint.encoder") ? &rill_joint_prediction : &rill_joint_encoder);
    } else if (!strncmp(layer, "encoder.pre.", 12)) {
        run_lstm(in, &rill_pre[n]);
    } else if (!strncmp(layer, "encoder.post.", 13)) {
        run_lstm(in, &rill_post[n]);
    } else {
        run_lstm(in, &rill_prediction[n]);
    }
    tracing = 0;
    close_files();
}

int main(int argc, char **argv)
{
    char path[1024], in[1024], kind[64], name[256], layer[256];

    if (argc != 3) {
        fprintf(stderr, "usage: rill_dump BUNDLE OUT\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/vectors/cases.txt", argv[1]);
    FILE *cases = fopen(path, "r");
    if (!cases) {
        stop("cannot open", path);
    }
    mkdir(argv[2], 0777);
    while (fscanf(cases, "%63s %255s %255s", kind, name, layer) == 3) {
        snprintf(in, sizeof in, "%.500s/vectors/%s", argv[1], name);
        snprintf(folder, sizeof folder, "%.500s/%s", argv[2], name);
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            stop("cannot make", folder);
        }
        run_case(kind, in, layer);
    }
    fclose(cases);
    return 0;
}
