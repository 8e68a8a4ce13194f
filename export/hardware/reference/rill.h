/* A streaming recogniser in integers: 16-bit samples in, tokens out. Interface of rill.c.
 *
 * C99, no floating point, no allocation, nothing of the C library but memcpy. One rill_stream is one
 * channel; give each its own and they do not touch each other. The model is in rill_model.h, as constants.
 */
#ifndef RILL_H
#define RILL_H

#include <stddef.h>
#include <stdint.h>

#include "rill_model.h"

#define RILL_BINS 80                           /* mel bins */
#define RILL_HOP 160                           /* samples from one frame to the next, 10 ms */
#define RILL_FFT 512
#define RILL_STACK 3                           /* frames in an input of the encoder, 30 ms */
#define RILL_CHUNK (2 * RILL_STACK * RILL_HOP) /* samples of an encoder frame, 60 ms */
#define RILL_LEAD (RILL_INITIAL_PADDING ? 0 : RILL_WINDOW - RILL_HOP) /* samples before the first frame */
#define RILL_TAIL (RILL_WINDOW - RILL_HOP)     /* samples that a window shares with the one before */
#define RILL_BLANK (RILL_CLASSES - 1)
#define RILL_INPUTS (RILL_STACK * RILL_BINS)

/* Called with each token, in order: its number, the encoder frame that emitted it (60 ms each), and the context. */
typedef void (*rill_emit)(void *context, uint16_t token, uint32_t step);

typedef struct {
    int8_t h[RILL_HIDDEN];
    int16_t c[RILL_HIDDEN];
} rill_encoder_state;

typedef struct {
    int8_t h[RILL_PREDICTION_HIDDEN];
    int16_t c[RILL_PREDICTION_HIDDEN];
} rill_prediction_state;

typedef struct {
    rill_emit emit;
    void *context;
    /* Samples that wait, and those before them that the next window needs. */
    int16_t waiting[RILL_CHUNK];
    int16_t past[RILL_TAIL + 1]; /* the oldest is only a predecessor in the pre-emphasis */
    uint32_t held;
    uint8_t received, primed, framed, padded;
    /* Gain control, gate, running statistics. */
    int32_t background, peak;
    int32_t level, level_background;
    uint32_t frames_left;
    int32_t mean[RILL_BINS];
    uint32_t variance[RILL_BINS];
    /* Muted channels. */
    uint32_t zeros, sounds, skipped; /* chunks */
    uint8_t muted;
    /* Encoder and decoder. */
    rill_encoder_state pre[RILL_PRE_LAYERS];
    rill_encoder_state post[RILL_POST_LAYERS];
    rill_prediction_state prediction[RILL_PREDICTION_LAYERS];
    int16_t g[RILL_JOINT];
    uint32_t symbols;
    uint32_t step;
} rill_stream;

/* Begin a stream: the state before the first sample. */
void rill_begin(rill_stream *stream, rill_emit emit, void *context);

/* Hand in any number of samples, 16 kHz mono. */
void rill_push(rill_stream *stream, const int16_t *pcm, size_t count);

/* End the stream: compute the silence that the last words need, and what is left. Begin again before the next. */
void rill_finish(rill_stream *stream);

/* What a token adds to the text, UTF-8; a new word begins with a space. */
const char *rill_text(uint16_t token);

/* One step of a layer from a given state, for tests: h and c are replaced. */
void rill_lstm_step(const rill_lstm *layer, const int8_t *x, int8_t *h, int16_t *c);
void rill_project(const rill_linear *layer, const int8_t *h, int16_t *out);
uint16_t rill_join(const int16_t *e, const int16_t *g);

#endif
