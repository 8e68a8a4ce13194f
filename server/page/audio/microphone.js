/* The microphone: opened, and listened to until somebody stops it.

   Browsers that resample a microphone do so in an audio context of 16 kHz; others refuse to connect
   one to it, and get a context of the microphone's rate, whose worklet resamples. */

import { Fault, microphoneFault } from "../faults.js";
import { serverFault } from "../service.js";
import { RATE } from "./pcm.js";

const CONSTRAINTS = {
  audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

/** Ask for the microphone; throws a Fault that says what to do where there is none. */
export async function openMicrophone() {
  if (!navigator.mediaDevices || !window.AudioWorkletNode) {
    throw new Fault(
      "The browser gives microphones to safe pages only.",
      "Open this page over https, or on the machine of the server as http://localhost. Recordings work here too.",
    );
  }
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
    return new Microphone(media, await listen(media));
  } catch (error) {
    media?.getTracks().forEach((track) => track.stop());
    throw error instanceof Fault ? error : microphoneFault(error);
  }
}

/** Return a worklet node that hears the microphone at 16 kHz, or else at the microphone's rate. */
async function listen(media) {
  try {
    return await connect(media, { sampleRate: RATE });
  } catch {
    return connect(media, {});
  }
}

/** Return one in an audio context with options of its own. */
async function connect(media, options) {
  const context = new AudioContext(options);
  try {
    const source = context.createMediaStreamSource(media);
    await loadWorklet(context);
    const form = { channelCount: 1, channelCountMode: "explicit" };
    const listener = new AudioWorkletNode(context, "listener", form);
    source.connect(listener).connect(context.destination); // its output is silence
    await context.resume();
    return listener;
  } catch (error) {
    await context.close();
    throw error;
  }
}

/** Load the worklet from the server, which may be gone: that is no fault of the microphone. */
async function loadWorklet(context) {
  try {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  } catch (error) {
    throw (await serverFault()) ?? error;
  }
}

class Microphone {
  #media;
  #listener;

  constructor(media, listener) {
    this.#media = media;
    this.#listener = listener;
  }

  /** Give chunks to `hear` until the signal; throws a Fault where the device is taken away. */
  async listen(hear, signal) {
    const [track] = this.#media.getTracks();
    let lost = false;
    const { port } = this.#listener;
    const ended = new Promise((resolve) => {
      port.onmessage = ({ data }) => (data === null ? resolve() : hear(data));
    });
    const stop = () => port.postMessage("stop");
    track.onended = () => {
      lost = true;
      stop();
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    await ended;
    track.stop();
    await this.#listener.context.close();
    if (lost) {
      throw new Fault(
        "The microphone was taken away.",
        "Connect it again, or allow it again, and press the microphone. What was said is kept.",
      );
    }
  }
}
