/* The audio thread's part: whatever the microphone gives becomes chunks for the server.

   Posts an Int16Array for each chunk; asked to stop by any message, what is left, then null. */

import { Chunker, RATE } from "./pcm.js";
import { Resampler } from "./resample.js";

class Listener extends AudioWorkletProcessor {
  #chunker = new Chunker();
  #resampler = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);
  #stopped = false;

  constructor() {
    super();
    this.port.onmessage = () => this.#stop();
  }

  process([[samples]]) {
    if (samples && !this.#stopped) {
      this.#hear(this.#resampler ? this.#resampler.push(samples) : samples);
    }
    return !this.#stopped;
  }

  #hear(samples) {
    for (const chunk of this.#chunker.push(samples)) this.#post(chunk);
  }

  #stop() {
    this.#stopped = true;
    if (this.#resampler) this.#hear(this.#resampler.rest());
    const rest = this.#chunker.rest();
    if (rest.length) this.#post(rest);
    this.port.postMessage(null);
  }

  #post(chunk) {
    this.port.postMessage(chunk, [chunk.buffer]);
  }
}

registerProcessor("listener", Listener);
