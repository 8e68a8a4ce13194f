/* The server that this page came from: its addresses, its models, and why a stream went wrong.

   A token in the page's own address (?token=...) goes with every request. */

import { Fault, closeFault } from "./faults.js";

const ROOT = new URL("..", import.meta.url);
const FORMAT = "audio/x-raw;format=S16LE;channels=1;rate=16000";
const LOST = 1006; // the Close of a connection that ended without one
const token = new URLSearchParams(location.search).get("token");

/** Return the address of a stream of a model; of the default one for null. */
export function streamAddress(model) {
  const address = new URL("asr/v0.1/stream", ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  address.search = new URLSearchParams({ content_type: FORMAT, ...(model && { model }), ...(token && { token }) });
  return address;
}

/** GET a path of the server, and return its answer; throws a Fault where there is none, or a refusal. */
export async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(new URL(path, ROOT), { headers, cache: "no-store" });
  } catch (error) {
    throw new Fault(
      "The server does not answer.",
      "It may have been stopped, or the network is down. What was said is kept: start again when it is back.",
      error,
    );
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
  return answer;
}

/** Return what is served, as GET /model tells it; throws a Fault where it cannot be asked. */
export async function servedModels() {
  return (await (await ask("model")).json()).models;
}

/** Return the Fault of a server that cannot be asked; null where it can. */
export async function serverFault() {
  return servedModels().then(
    () => null,
    (fault) => fault,
  );
}

/** Return the Fault of a stream of a model, as `Stream.closed` tells its end; null where it ended well. */
export async function streamFault(close, model) {
  if (!close.opened) return whyRefused(model);
  return (close.code === LOST && (await serverFault())) || closeFault(close);
}

/** Return the Fault of a stream that was not opened; browsers do not tell, so the server is asked. */
async function whyRefused(name) {
  let models;
  try {
    models = await servedModels();
  } catch (fault) {
    return fault;
  }
  const model = name ? models.find((each) => each.name === name) : models[0];
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
  const advice = token
    ? "Its token may not use this model, or has used up what it may. Try again later."
    : "Try again: there is room now.";
  return new Fault("The server did not take the stream.", advice);
}
