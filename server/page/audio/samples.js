/* The recordings that ship with the server: played aloud while they are streamed. */

import { RATE } from "./pcm.js";
import { decode } from "./recording.js";
import { ask } from "../service.js";

const FOLDER = "page/samples/";

/** The recordings, one after the other; they say words of the bundled model, which never heard them. */
export class Samples {
  #list = null;
  #next = 0;

  /** Return the next one, {name, audio}; throws a Fault where the server is gone. */
  async take() {
    this.#list ??= (await (await ask(`${FOLDER}manifest.jsonl`)).text()).trim().split("\n").map(JSON.parse);
    const { audio_filepath: file } = this.#list[this.#next++ % this.#list.length];
    const audio = await decode(await (await ask(FOLDER + file)).arrayBuffer(), file);
    return { name: file.replace(/\.\w+$/, ""), audio };
  }
}

/** Play samples through the speaker, until their end or the signal. */
export function playAloud(samples, signal) {
  const context = new AudioContext({ sampleRate: RATE });
  const source = new AudioBufferSourceNode(context, {
    buffer: new AudioBuffer({ length: samples.length, sampleRate: RATE }),
  });
  source.buffer.copyToChannel(samples, 0);
  const end = () => context.state === "closed" || context.close();
  source.onended = end;
  signal.addEventListener("abort", end);
  source.connect(context.destination);
  source.start();
}
