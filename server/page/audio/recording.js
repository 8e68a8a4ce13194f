/* Recordings: whatever the browser can decode, sent as a microphone would or as fast as it is taken. */

import { Fault } from "../faults.js";
import { CHUNK, CHUNK_SECONDS, RATE, quantise } from "./pcm.js";

/** Return the samples of a file's content at 16 kHz, channels averaged; throws a Fault where it is no audio. */
export async function decode(content, name) {
  let audio;
  try {
    // A context's rate is the one that decoding resamples to.
    audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(content);
  } catch (error) {
    throw new Fault(
      `The browser cannot decode “${name}”.`,
      "Choose a recording as WAV, FLAC, MP3, Ogg or M4A.",
      error,
    );
  }
  const samples = audio.getChannelData(0);
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((value, i) => (samples[i] += value));
  }
  const scale = audio.numberOfChannels;
  return scale === 1 ? samples : samples.map((value) => value / scale);
}

/** Send samples to a stream until the signal; in real time, chunk k at (k + 1) * 60 ms. */
export async function play(samples, stream, paced, signal) {
  const began = performance.now();
  for (let k = 0; k * CHUNK < samples.length && !signal.aborted; k++) {
    await (paced ? until(began + (k + 1) * CHUNK_SECONDS * 1000, signal) : stream.room());
    if (!signal.aborted) stream.send(quantise(samples.subarray(k * CHUNK, (k + 1) * CHUNK)));
  }
}

/** Wait until a time. A page in the background wakes late, and then sends all that is due. */
function until(time, signal) {
  const wait = time - performance.now();
  if (wait <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, wait);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
