/* A streaming recogniser in integers, bit for bit what docs/integer.md and docs/integer-front-end.md say.
 *
 * Rules are cited by number: 1 to 9 of the first page, 10.1 to 10.21 of the second. Nothing here depends on the
 * model: sizes, shifts, tables and weights come from rill_model.h, which is written with the hardware bundle.
 *
 * Written for reading, and for any compiler of C99: negative numbers are never shifted left, and shifted right by
 * `down`, which compilers turn into one instruction. Int is assumed to have 32 bits, as its exact types need.
 *
 * RILL_TRACE(name, values, count), where it is defined before this file is included, sees every value that the
 * vectors of the bundle hold.
 */
#define RILL_DATA
#include "rill.h"

#include <string.h>

#ifndef RILL_TRACE
#define RILL_TRACE(name, values, count) ((void)0)
#endif
#ifndef RILL_TRACE_LAYER /* the same of layer n of a stack */
#define RILL_TRACE_LAYER(stack, n, part, values, count) ((void)0)
#endif

/* Set bytes to zero: of the C library only memcpy is taken. */
static void zero(void *bytes, size_t count)
{
    for (unsigned char *byte = bytes; count > 0; count--) {
        *byte++ = 0;
    }
}

/* ---- Operators -------------------------------------------------------------------------------------------- */

/* a / 2^s rounded down: an arithmetic shift, which C99 leaves to the compiler for negative a. */
static int64_t down(int64_t a, unsigned s)
{
    return a < 0 ? ~(~a >> s) : a >> s;
}

/* a 2^s. */
static int64_t up(int64_t a, unsigned s)
{
    return a * ((int64_t)1 << s);
}

/* a / 2^s rounded half to even. */
static int64_t rhe(int64_t a, unsigned s)
{
    if (s == 0) {
        return a;
    }
    return down(a + ((int64_t)1 << (s - 1)) - 1 + (down(a, s) & 1), s);
}

static int64_t clamp(int64_t a, int64_t least, int64_t most)
{
    return a < least ? least : a > most ? most : a;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The bits that a needs, 0 for 0. */
static unsigned bits(uint64_t a)
{
    unsigned length = 0;
    for (unsigned step = 32; step > 0; step /= 2) {
        if (a >> step) {
            a >>= step;
            length += step;
        }
    }
    return length + (unsigned)a;
}

/* ---- Samples to log2-mel ------------------------------------------------------------------------------------ */

/* Transform re and im in place, 512 points, each of nine stages halved (rules 10.6 and 10.7).
 *
 * The same butterflies as in the rule, which numbers values differently from stage to stage: here a value stays
 * where it is, as in textbooks. */
static void transform(int32_t *re, int32_t *im)
{
    for (unsigned i = 1, j = 0; i < RILL_FFT; i++) { /* bit-reversed order */
        unsigned bit = RILL_FFT / 2;
        for (; j & bit; bit /= 2) {
            j ^= bit;
        }
        j |= bit;
        if (i < j) {
            int32_t swapped = re[i];
            re[i] = re[j];
            re[j] = swapped;
        }
    }
    for (unsigned half = 1; half < RILL_FFT; half *= 2) {
        for (unsigned i = 0; i < half; i++) {
            int64_t c = rill_twiddle_cos[i * (RILL_FFT / 2 / half)];
            int64_t s = rill_twiddle_sin[i * (RILL_FFT / 2 / half)];
            for (unsigned at = i; at < RILL_FFT; at += 2 * half) {
                unsigned to = at + half;
                int64_t u = c * re[to] + s * im[to]; /* of -b turned */
                int64_t v = c * im[to] - s * re[to];
                int64_t a_re = up(re[at], 17), a_im = up(im[at], 17);
                re[at] = (int32_t)rhe(a_re - u, 18);
                im[at] = (int32_t)rhe(a_im - v, 18);
                re[to] = (int32_t)rhe(a_re + u, 18);
                im[to] = (int32_t)rhe(a_im + v, 18);
            }
        }
    }
}

/* One window to log2 of its mel powers in Q.10 (rules 10.2 to 10.11).
 *
 * pcm[0] precedes the window; of the window's samples `count` are there, the rest is zero after the emphasis. */
static void log2_mel(const int16_t *pcm, unsigned count, int32_t *frame)
{
    int32_t re[RILL_FFT], im[RILL_FFT];
    int64_t most = 0;
    unsigned n;

    zero(re, sizeof re);
    zero(im, sizeof im);
    for (unsigned i = 0; i < count; i++) {
        re[i] = (int32_t)(up(pcm[i + 1], 15) - (int64_t)31785 * pcm[i]); /* 10.2 */
        int64_t p = (int64_t)re[i] * rill_window[i]; /* 10.4 */
        most = larger(most, p < 0 ? -p : p);
    }
    n = bits((uint64_t)(most + (most >> 14))); /* 10.5 */
    for (unsigned i = 0; i < count; i++) {
        re[i] = (int32_t)rhe(up((int64_t)re[i] * rill_window[i], 46 - n), 23);
    }
    transform(re, im);
    const uint16_t *weight = rill_mel_weight;
    for (unsigned bin = 0; bin < RILL_BINS; bin++) {
        uint64_t energy = 0; /* 10.8 and 10.9 */
        for (unsigned i = 0; i < rill_mel_count[bin]; i++) {
            int64_t real = re[rill_mel_begin[bin] + i], imaginary = im[rill_mel_begin[bin] + i];
            energy += (uint64_t)(real * real + imaginary * imaginary) * *weight++;
        }
        frame[bin] = RILL_LOWEST; /* 10.10 and 10.11 */
        if (energy > 0) {
            unsigned k = bits(energy) - 1;
            uint64_t mantissa = k > 16 ? energy >> (k - 16) : energy << (16 - k);
            unsigned i = (unsigned)(mantissa >> 10) & 63;
            int64_t low = rill_log2_table[i], rise = (int64_t)rill_log2_table[i + 1] - low;
            int64_t line = up(low, 10) + rise * (int64_t)(mantissa & 1023);
            int64_t l = up((int64_t)k + 2 * (int64_t)n - 138, 10) + rhe(line, 16);
            frame[bin] = (int32_t)larger(l, RILL_LOWEST);
        }
    }
    RILL_TRACE("log2_mel", frame, RILL_BINS);
}

/* ---- Gain control, gate and running statistics --------------------------------------------------------------- */

#if RILL_GAIN_CONTROL
/* Lift a frame, or silence it where it is a tone (rules 10.17 to 10.19). */
static void control_gain(rill_stream *s, int32_t *frame)
{
    int64_t most = frame[0], loudest = RILL_FLOOR, sum = 0;
    for (unsigned bin = 0; bin < RILL_BINS; bin++) {
        int64_t floored = larger(frame[bin], RILL_FLOOR);
        most = larger(most, frame[bin]);
        loudest = larger(loudest, floored);
        sum += floored;
    }
    int tone = RILL_BINS * loudest - sum > RILL_TONE;
    int64_t peak = up(most, 10);
    int64_t low = tone || most == RILL_LOWEST ? RILL_GAIN_LOUDEST : peak;
    int64_t high = tone ? up(RILL_LOWEST, 10) : peak;
    s->background = (int32_t)smaller((int64_t)s->background + RILL_GAIN_RISE, low);
    s->peak = (int32_t)larger((int64_t)s->peak - RILL_GAIN_RELEASE,
                              smaller((int64_t)s->peak + RILL_GAIN_ATTACK, high));
    int32_t gain = (int32_t)clamp(smaller((int64_t)RILL_GAIN_BACKGROUND - s->background,
                                          RILL_GAIN_SPEECH - larger(s->peak, high)),
                                  0, RILL_GAIN_MOST);
    int64_t lift = rhe(gain, 10);
    for (unsigned bin = 0; bin < RILL_BINS; bin++) {
        frame[bin] = tone ? RILL_FLOOR : (int32_t)larger(frame[bin] + lift, RILL_FLOOR);
    }
    RILL_TRACE("background", &s->background, 1);
    RILL_TRACE("peak", &s->peak, 1);
    RILL_TRACE("gain", &gain, 1);
}
#endif

#if RILL_GATE
/* Whether a frame teaches the statistics (rules 10.20 and 10.21). */
static int is_open(rill_stream *s, const int32_t *frame)
{
    int64_t sum = 0;
    for (unsigned bin = 0; bin < RILL_BINS; bin++) {
        sum += frame[bin];
    }
    s->level += (int32_t)rhe(sum - s->level, 2);
    s->level_background = (int32_t)smaller((int64_t)s->level_background + RILL_GATE_RISE, s->level);
    if (s->level > (int64_t)s->level_background + RILL_GATE_MARGIN) {
        s->frames_left = RILL_GATE_HOLD;
    } else if (s->frames_left > 0) {
        s->frames_left--;
    }
    RILL_TRACE("level", &s->level, 1);
    RILL_TRACE("level_background", &s->level_background, 1);
    RILL_TRACE("frames_left", &s->frames_left, 1);
    return s->frames_left > 0;
}
#endif

/* Update the statistics with a frame, and normalise it by them (rules 10.12 to 10.16). */
static void normalise(rill_stream *s, const int32_t *frame, int8_t *x)
{
    int64_t alpha = RILL_ALPHA;
#if RILL_GATE
    if (!is_open(s, frame)) {
        alpha = 0;
    }
#endif
    for (unsigned bin = 0; bin < RILL_BINS; bin++) {
        int64_t l = up(frame[bin], 14);
        int64_t difference = l - s->mean[bin];
        int64_t d = rhe(difference, 10);
        int64_t grown = (int64_t)s->variance[bin] + rhe(alpha * d * d, 28);
        s->mean[bin] += (int32_t)rhe(alpha * difference, 20); /* 10.12 */
        s->variance[bin] = (uint32_t)larger(grown - rhe(alpha * grown, 20), 1); /* 10.14 */

        unsigned k = (32 - bits(s->variance[bin])) / 2; /* 10.15 */
        uint32_t u = s->variance[bin] << (2 * k);
        int64_t low = rill_root_table[(u >> 25) - 32], high = rill_root_table[(u >> 25) - 31];
        int64_t root = rhe(up(low, 15) + (high - low) * (int64_t)((u >> 10) & 32767), 15);

        d = rhe(l - s->mean[bin], 10); /* 10.16 */
        x[bin] = (int8_t)clamp(rhe(up(d * root, k), 36 - RILL_INPUT_EXPONENT), -128, 127);
    }
    RILL_TRACE("mean", s->mean, RILL_BINS);
    RILL_TRACE("variance", s->variance, RILL_BINS);
}

/* The next frame: its window lies at s->past and after it in `samples`, of which `count` are there. */
static void next_frame(rill_stream *s, const int16_t *samples, unsigned count, int8_t *x)
{
    int16_t window[RILL_WINDOW + 1];
    int32_t frame[RILL_BINS];

    memcpy(window, s->past, sizeof s->past);
    memcpy(window + RILL_TAIL + 1, samples, count * sizeof *samples);
    log2_mel(window, RILL_TAIL + count, frame);
    if (count == RILL_HOP) {
        memcpy(s->past, window + RILL_HOP, sizeof s->past);
    }
    s->framed = 1;
#if RILL_GAIN_CONTROL
    control_gain(s, frame);
#endif
    RILL_TRACE("frames", frame, RILL_BINS);
    normalise(s, frame, x);
}

/* ---- Layers -------------------------------------------------------------------------------------------------- */

static int32_t dot(const int8_t *weight, const int8_t *x, unsigned count)
{
    int32_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += weight[i] * x[i];
    }
    return sum;
}

/* One row of a gate: its accumulator, and z (rule 3). */
static int64_t gate(const rill_lstm *layer, unsigned row, const int8_t *x, const int8_t *h)
{
    int64_t acc = up(dot(layer->weight_ih + (size_t)row * layer->inputs, x, layer->inputs), layer->shift_x)
                + up(dot(layer->weight_hh + (size_t)row * layer->units, h, layer->units), layer->shift_h)
                + layer->bias[row];
    int64_t z = clamp(rhe(acc, layer->shift), -32768, 32767);
#ifdef RILL_TRACE_GATES
    RILL_TRACE_GATES(row, acc, z);
#endif
    return z;
}

void rill_lstm_step(const rill_lstm *layer, const int8_t *x, int8_t *h, int16_t *c)
{
    int8_t after[RILL_MOST_UNITS]; /* every row reads the h before */
    unsigned units = layer->units;

    for (unsigned unit = 0; unit < units; unit++) {
        int64_t i = clamp(gate(layer, unit, x, h) + 16384, 0, 32768);
        int64_t f = clamp(gate(layer, unit + units, x, h) + 16384, 0, 32768);
        int64_t g = clamp(gate(layer, unit + 2 * units, x, h), -4096, 4096);
        int64_t o = clamp(gate(layer, unit + 3 * units, x, h) + 16384, 0, 32768);
        int64_t cell = clamp(rhe(f * c[unit] + i * g, 15), -32768, 32767);
        c[unit] = (int16_t)cell;
        after[unit] = (int8_t)clamp(rhe(o * clamp(cell, -4096, 4096), 20), -128, 127);
    }
    memcpy(h, after, units);
}

void rill_project(const rill_linear *layer, const int8_t *h, int16_t *out)
{
    for (unsigned row = 0; row < layer->outputs; row++) { /* rule 5 */
        int64_t acc = up(dot(layer->weight + (size_t)row * layer->inputs, h, layer->inputs), layer->shift_in)
                    + layer->bias[row];
        out[row] = (int16_t)clamp(rhe(acc, layer->shift_out), -32768, 32767);
    }
}

uint16_t rill_join(const int16_t *e, const int16_t *g)
{
    uint8_t a[RILL_JOINT];
    int32_t best = 0;
    uint16_t chosen = 0;

    for (unsigned i = 0; i < RILL_JOINT; i++) { /* rule 6 */
        a[i] = (uint8_t)smaller(rhe(larger((int64_t)e[i] + g[i], 0), 6), 255);
    }
    RILL_TRACE("a", a, RILL_JOINT);
    for (unsigned row = 0; row < RILL_CLASSES; row++) { /* rule 7 */
        const int8_t *weight = rill_joint_output.weight + (size_t)row * RILL_JOINT;
        int32_t sum = 0;
        for (unsigned i = 0; i < RILL_JOINT; i++) {
            sum += weight[i] * a[i];
        }
        sum = (int32_t)up(sum, rill_joint_output.shift_in) + rill_joint_output.bias[row];
        RILL_TRACE("logits", &sum, 1);
        if (row == 0 || sum > best) {
            best = sum;
            chosen = (uint16_t)row;
        }
    }
    RILL_TRACE("best", &chosen, 1);
    return chosen;
}

/* ---- Prediction network and decoder --------------------------------------------------------------------------- */

/* Advance the prediction network by a token; blank is the start of a sequence (rule 8). */
static void predict(rill_stream *s, uint16_t token)
{
    const int8_t *x = rill_embedding + (size_t)token * rill_prediction[0].inputs;
    for (unsigned n = 0; n < RILL_PREDICTION_LAYERS; n++) {
        rill_lstm_step(&rill_prediction[n], x, s->prediction[n].h, s->prediction[n].c);
        RILL_TRACE_LAYER("prediction.lstm", n, "h", s->prediction[n].h, RILL_PREDICTION_HIDDEN);
        RILL_TRACE_LAYER("prediction.lstm", n, "c", s->prediction[n].c, RILL_PREDICTION_HIDDEN);
        x = s->prediction[n].h;
    }
    rill_project(&rill_joint_prediction, x, s->g);
    RILL_TRACE("g", s->g, RILL_JOINT);
}

/* Begin a segment: encoder and decoder in their initial states. */
static void begin_segment(rill_stream *s)
{
    zero(s->pre, sizeof s->pre);
    zero(s->post, sizeof s->post);
    zero(s->prediction, sizeof s->prediction);
    s->sounds = 0;
    s->symbols = 0;
    s->muted = 0;
    s->step += s->skipped; /* a stream that ends muted ends as if these chunks had not come */
    s->skipped = 0;
    predict(s, RILL_BLANK);
}

/* Emit the tokens of one encoder frame: the best class, until it is blank or there are too many. */
static void decode(rill_stream *s, const int16_t *e)
{
#if !RILL_RUNNING_SYMBOLS
    s->symbols = 0;
#endif
    for (;;) {
        uint16_t token = rill_join(e, s->g);
        if (token == RILL_BLANK) {
            break;
        }
        RILL_TRACE("tokens", &token, 1);
        RILL_TRACE("steps", &s->step, 1);
        s->emit(s->context, token, s->step);
        predict(s, token);
        if (++s->symbols >= RILL_SYMBOLS) {
            s->symbols = 0;
            break;
        }
    }
}

/* ---- Chunks ---------------------------------------------------------------------------------------------------- */

/* Whether there was sound enough in a segment for it to have text. */
static int is_heard(const rill_stream *s)
{
#if RILL_SOUND_CHUNKS
    return s->sounds >= RILL_SOUND_CHUNKS;
#else
    (void)s;
    return 1;
#endif
}

/* Encode and decode a chunk: two inputs of the encoder, of which `present` are within the stream. */
static void encode(rill_stream *s, int8_t x[2][RILL_INPUTS], unsigned present)
{
    int8_t pair[2 * RILL_HIDDEN]; /* rule 4 */
    int16_t e[RILL_JOINT];

    zero(pair, sizeof pair);
    for (unsigned i = 0; i < present; i++) {
        const int8_t *h = x[i];
        RILL_TRACE("x", x[i], RILL_INPUTS);
        for (unsigned n = 0; n < RILL_PRE_LAYERS; n++) {
            rill_lstm_step(&rill_pre[n], h, s->pre[n].h, s->pre[n].c);
            RILL_TRACE_LAYER("encoder.pre", n, "h", s->pre[n].h, RILL_HIDDEN);
            RILL_TRACE_LAYER("encoder.pre", n, "c", s->pre[n].c, RILL_HIDDEN);
            h = s->pre[n].h;
        }
        memcpy(pair + i * RILL_HIDDEN, h, RILL_HIDDEN);
    }
    const int8_t *h = pair;
    for (unsigned n = 0; n < RILL_POST_LAYERS; n++) {
        rill_lstm_step(&rill_post[n], h, s->post[n].h, s->post[n].c);
        RILL_TRACE_LAYER("encoder.post", n, "h", s->post[n].h, RILL_HIDDEN);
        RILL_TRACE_LAYER("encoder.post", n, "c", s->post[n].c, RILL_HIDDEN);
        h = s->post[n].h;
    }
    rill_project(&rill_joint_encoder, h, e);
    RILL_TRACE("e", e, RILL_JOINT);
    if (is_heard(s)) {
        decode(s, e);
    }
    s->step++;
}

static int any(const int16_t *samples, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (samples[i] != 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether so much silence came that more of it mutes the channel. */
static int is_quiet(const rill_stream *s)
{
#if RILL_MUTE_CHUNKS
    return s->zeros >= RILL_MUTE_CHUNKS;
#else
    (void)s;
    return 0;
#endif
}

/* Take the first samples of a stream, which give no frame: none with initial padding. */
static void prime(rill_stream *s)
{
    s->past[0] = s->waiting[0]; /* the predecessor of the first sample is the sample itself */
    memcpy(s->past + 1, s->waiting, RILL_LEAD * sizeof *s->past);
    s->primed = 1;
    s->held = 0;
}

/* Compute the samples that wait: a chunk, or what a stream ends with, which is less. */
static void next_chunk(rill_stream *s)
{
    int8_t x[2][RILL_INPUTS];
    unsigned frames = s->held / RILL_HOP;
    unsigned samples = (unsigned)smaller(s->held, RILL_HOP); /* of a frame */
    int sound = any(s->waiting, s->held);

    if (!sound && is_quiet(s) && !s->padded) { /* muted: nothing changes */
        s->muted = 1;
        s->skipped++;
        s->held = 0;
        return;
    }
    s->zeros = sound ? 0 : s->zeros + 1;
    if (sound && s->muted) {
        begin_segment(s);
    }
    s->sounds += (uint32_t)sound;
    if (s->held > 0 && !s->framed && frames == 0) { /* a stream has one frame at least */
        frames = 1;
    }
    zero(x, sizeof x);
    for (unsigned i = 0; i < frames; i++) {
        next_frame(s, s->waiting + i * RILL_HOP, samples, x[i / RILL_STACK] + i % RILL_STACK * RILL_BINS);
    }
    if (frames > 0) {
        encode(s, x, (frames + RILL_STACK - 1) / RILL_STACK);
    }
    s->held = 0;
}

/* Take samples in, zeros where there are none, and compute the chunks that are full. */
static void put(rill_stream *s, const int16_t *pcm, size_t count)
{
    while (count > 0) {
        unsigned due = s->primed ? RILL_CHUNK : RILL_LEAD;
        unsigned part = (unsigned)smaller((int64_t)count, due - s->held);
        if (pcm) {
            memcpy(s->waiting + s->held, pcm, part * sizeof *pcm);
            pcm += part;
        } else {
            zero(s->waiting + s->held, part * sizeof *s->waiting);
        }
        count -= part;
        s->held += part;
        if (s->held == due) {
            if (s->primed) {
                next_chunk(s);
            } else {
                prime(s);
            }
        }
    }
}

/* ---- Interface ------------------------------------------------------------------------------------------------- */

void rill_begin(rill_stream *s, rill_emit emit, void *context)
{
    zero(s, sizeof *s);
    s->emit = emit;
    s->context = context;
#if RILL_GAIN_CONTROL
    s->background = RILL_GAIN_LOUDEST;
    s->peak = RILL_LOWEST * 1024;
#endif
#if RILL_GATE
    s->level = s->level_background = RILL_GATE_LOUDEST;
    s->frames_left = RILL_GATE_HOLD;
#endif
    memcpy(s->mean, rill_mean, sizeof s->mean);
    memcpy(s->variance, rill_variance, sizeof s->variance);
    begin_segment(s);
}

void rill_push(rill_stream *s, const int16_t *pcm, size_t count)
{
    if (count > 0) {
        s->received = 1;
    }
    put(s, pcm, count);
}

const char *rill_text(uint16_t token)
{
    return rill_token_text[token];
}

void rill_finish(rill_stream *s)
{
    if (s->muted && !any(s->waiting, s->held)) {
        s->held = 0; /* the stream ends as if muted chunks had not come */
    }
    s->padded = 1;
    if (s->received) {
        put(s, NULL, RILL_FINAL_PADDING);
    }
    if (s->primed) {
        next_chunk(s);
    }
}
