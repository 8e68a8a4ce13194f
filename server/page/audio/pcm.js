/* Audio as the server takes it: S16LE, mono, 16 kHz, in chunks of 60 ms. Runs in a worklet too.

   Samples are floats from -1 to 1; what came from 16 bits is the same again. An Int16Array has the
   byte order of the machine, which is little-endian wherever browsers run. */

export const RATE = 16000;
export const CHUNK = 960;
export const CHUNK_SECONDS = CHUNK / RATE;

/** Return samples as signed 16 bits, clipped. */
export function quantise(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    pcm[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
  }
  return pcm;
}

/** Return the loudness of a chunk, from 0 at -60 dB of full scale to 1 at full scale. */
export function loudness(pcm) {
  let sum = 0;
  for (const value of pcm) sum += value * value;
  const decibels = 10 * Math.log10(sum / (pcm.length || 1) / 32768 ** 2);
  return Math.max(0, Math.min(1, 1 + decibels / 60));
}

/** Cuts samples that come in pieces of any size at chunks. */
export class Chunker {
  #chunk = new Float32Array(CHUNK);
  #count = 0;

  /** Take samples; return the chunks that are full now. */
  push(samples) {
    const chunks = [];
    for (let taken = 0; taken < samples.length; ) {
      const part = samples.subarray(taken, taken + CHUNK - this.#count);
      this.#chunk.set(part, this.#count);
      taken += part.length;
      this.#count += part.length;
      if (this.#count === CHUNK) chunks.push(this.rest());
    }
    return chunks;
  }

  /** Return what is left, less than a chunk. */
  rest() {
    const rest = quantise(this.#chunk.subarray(0, this.#count));
    this.#count = 0;
    return rest;
  }
}
