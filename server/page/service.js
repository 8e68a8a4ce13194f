/* The server that this page came from: its addresses, its models, and why it refuses a stream.

   A token in the page's own address (?token=...) goes with every request. */

import { Fault } from "./faults.js";

const ROOT = new URL("..", import.meta.url);
const FORMAT = "audio/x-raw;format=S16LE;channels=1;rate=16000";
const token = new URLSearchParams(location.search).get("token");

/** Return the address of a stream of a model. */
export function streamAddress(model) {
  const address = new URL("asr/v0.1/stream", ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  address.search = new URLSearchParams({ content_type: FORMAT, model, ...(token && { token }) });
  return address;
}

/** Return what is served, as GET /model tells it; throws a Fault where it cannot be asked. */
export async function servedModels() {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(new URL("model", ROOT), { headers, cache: "no-store" });
  } catch (error) {
    throw new Fault("The server does not answer.", "See whether it runs and try again.", error);
  }
  if (answer.status === 401) {
    throw new Fault(
      token ? "The server does not know this token." : "The server wants a token.",
      "Open this page with ?token=… at the end of its address.",
    );
  }
  if (!answer.ok) {
    throw new Fault(`The server answers ${answer.status}: ${(await answer.text()).trim()}.`, "Try again.");
  }
  return (await answer.json()).models;
}

/** Return the Fault of a stream that was not opened; browsers do not tell, so the server is asked. */
export async function whyRefused(name) {
  let models;
  try {
    models = await servedModels();
  } catch (fault) {
    return fault;
  }
  const model = models.find((each) => each.name === name);
  if (!model) return new Fault(`“${name}” is no longer served.`, "Load this page again.");
  if (model.refusal && model.channels_open >= model.channels) {
    const all = model.channels === 1 ? "Its only channel is" : `All ${model.channels} channels are`;
    return new Fault(
      `The server is full. ${all} in use.`,
      "Try again in a moment, when somebody has finished.",
    );
  }
  if (model.refusal) {
    return new Fault(`The server takes no stream: ${model.refusal}.`, "Try again in a moment.");
  }
  return new Fault("The server did not take the stream.", "Try again: there is room now.");
}
