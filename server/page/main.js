/* The page: what is pressed, dropped and shown. Everything else is in the modules beside this one.

   1. There is at most one stream. The page is idle, opening (the microphone, a file), live (audio is
      sent) or finishing (the rest of the text comes); `data-state` of the body tells which.
   2. The round button starts the microphone, and stops whatever streams. Another recording may be
      chosen where the page is idle only; text may be copied, downloaded and cleared at any time.
   3. What goes wrong is a Fault, is shown with what to do, and costs no text.
   4. A source is {heading, name, measured, open}: what its section is called, and its downloads; whether
      its answers come in real time, so that their latencies mean something; and a function that opens
      it and returns another, which sends its chunks. */

import { openMicrophone } from "./audio/microphone.js";
import { CHUNK, loudness } from "./audio/pcm.js";
import { decode, play } from "./audio/recording.js";
import { Samples, playAloud } from "./audio/samples.js";
import { Chart } from "./chart.js";
import { Fault } from "./faults.js";
import { Figures } from "./figures.js";
import { Picker } from "./picker.js";
import { servedModels, streamAddress, streamFault } from "./service.js";
import { Stream } from "./stream.js";
import { Announcer } from "./text/announcer.js";
import { Transcript } from "./text/transcript.js";
import { TranscriptView } from "./text/view.js";

const at = (id) => document.getElementById(id);
const announcer = new Announcer(at("announcer"));
const view = new TranscriptView(at("transcript"), at("details"), (text) => announcer.say(text));
const chart = new Chart(at("chart"));
const figures = new Figures(at);
const picker = new Picker(at("language"), at("model"), showModel);
const samples = new Samples();
let level = 0; // what the meter shows, which falls slowly
let stopping = new AbortController();

const STATUS = { idle: "", opening: "Opening …", live: "Listening", finishing: "Finishing …" };

function enter(state) {
  document.body.dataset.state = state;
  at("status").textContent = STATUS[state];
  at("microphone").ariaLabel = idle() ? "Start the microphone" : "Stop";
  at("microphone").disabled = state === "finishing";
  for (const source of [at("open"), at("paced"), picker, ...document.querySelectorAll(".sample")]) {
    source.disabled = !idle();
  }
  showText();
  if (state === "live") requestAnimationFrame(draw);
}

function idle() {
  return document.body.dataset.state === "idle";
}

/** Let what is done with text be done where there is some. */
function showText() {
  at("copy").disabled = at("clear").disabled = view.empty;
}

/** Say what a model knows, in the words of its notes, and offer recordings that it knows the words of; where
    there is a choice, say what it is, too. */
function showModel(model, several) {
  const { knows, example } = model?.notes ?? {};
  const kind = several ? kindOf(model) : "";
  at("knows").replaceChildren(kind);
  if (knows) at("knows").append(`It knows ${knows}. `);
  if (example) {
    const quote = document.createElement("q");
    quote.lang = model.language;
    quote.textContent = example;
    at("knows").append("Try ", quote, ".");
  }
  at("knows").hidden = !kind && !knows && !example;
  for (const button of document.querySelectorAll(".sample")) button.hidden = !model?.bundled;
}

/** A sentence on the network of a model, "" where the server does not tell. */
function kindOf({ encoder, weights, chunk_ms: ms }) {
  return encoder ? `${encoder} of ${(weights / 1e6).toFixed(1)} million weights, ${ms} ms of sound at a time. ` : "";
}

function showFault(fault) {
  if (!(fault instanceof Fault)) {
    console.error(fault);
    fault = new Fault(`This page failed: ${fault.message}.`, "Load it again.");
  }
  at("fault-message").textContent = fault.message;
  at("fault-advice").textContent = fault.advice;
  at("fault").hidden = false;
}

/** Open a source, stream it, and show what comes. */
async function stream(source) {
  if (!idle()) return;
  at("fault").hidden = true;
  stopping = new AbortController();
  enter("opening");
  at("microphone").focus(); // what was pressed may be hidden or disabled now, and this stops the stream
  try {
    const send = await source.open();
    await converse(source, send, stopping.signal);
  } catch (fault) {
    showFault(fault);
  } finally {
    view.end();
    enter("idle");
  }
}

async function converse({ heading, name, measured }, send, signal) {
  const model = picker.chosen;
  const transcript = new Transcript();
  const began = performance.now();
  const connection = new Stream(streamAddress(model?.name), (response, latency, chunks) => {
    transcript.add(response);
    view.show();
    showText();
    if (response.end_of_utterance) announcer.follow(transcript.utterances());
    if (latency === null) return;
    for (let k = 1; k < chunks; k++) chart.answer(null); // they waited for the last one
    chart.answer(measured ? latency : null);
    const speed = response.end / ((performance.now() - began) / 1000);
    figures.answer(measured ? latency : null, measured ? null : speed);
  });
  const lost = connection.closed.then(() => stopping.abort());
  const hear = (chunk) => {
    connection.send(chunk);
    figures.hear(chunk.length);
    level = Math.max(level, loudness(chunk));
    if (chunk.length === CHUNK) chart.hear(loudness(chunk));
  };
  chart.begin();
  announcer.begin();
  view.begin(transcript, { heading, name, language: model?.language ?? "" });
  enter("live");
  try {
    await send({ send: hear, room: () => connection.room() }, signal);
  } finally {
    enter("finishing");
    connection.end();
    await lost;
    announcer.follow(transcript.utterances());
  }
  const fault = await streamFault(await connection.closed, model?.name);
  if (fault) throw fault;
}

/** Draw the chart and the meter as long as anything moves. */
function draw() {
  level = idle() && level < 0.01 ? 0 : 0.92 * level;
  at("microphone").style.setProperty("--loudness", level.toFixed(3));
  at("meter").ariaValueNow = level.toFixed(2);
  chart.draw();
  if (!idle() || level) requestAnimationFrame(draw);
}

function streamMicrophone() {
  const time = new Date().toLocaleTimeString([], { timeStyle: "short" });
  const open = async () => {
    const microphone = await openMicrophone();
    return (connection, signal) => microphone.listen(connection.send, signal);
  };
  const name = `microphone ${time.replace(/\D+/g, ".").replace(/\.$/, "")}`;
  return stream({ heading: `Microphone, ${time}`, name, measured: true, open });
}

function streamFile(file) {
  const paced = at("paced").checked;
  const open = async () => {
    const audio = await decode(await file.arrayBuffer(), file.name);
    return (connection, signal) => play(audio, connection, paced, signal);
  };
  return stream({ heading: file.name, name: file.name.replace(/\.\w+$/, ""), measured: paced, open });
}

/** Stream a sample as if the microphone heard what the speaker plays. */
function streamSample() {
  const source = { heading: "Sample", name: "sample", measured: true };
  source.open = async () => {
    const { name, audio } = await samples.take();
    Object.assign(source, { heading: `Sample, ${name}`, name });
    return (connection, signal) => {
      playAloud(audio, signal);
      return play(audio, connection, true, signal);
    };
  };
  return stream(source);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(view.text);
    at("status").textContent = "Copied";
  } catch {
    // Browsers have no clipboard for pages without https: what is selected can be copied by hand.
    getSelection().selectAllChildren(at("transcript"));
    at("status").textContent = "Selected: copy with Ctrl+C";
  }
}

function clear() {
  view.clear();
  chart.clear();
  figures.clear();
  showText();
}

function takeDrops() {
  addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").hidden = !idle();
  });
  addEventListener("dragleave", ({ relatedTarget }) => (at("drop").hidden ||= !relatedTarget));
  addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) streamFile(file);
  });
}

async function showModels() {
  try {
    picker.show(await servedModels());
  } catch (fault) {
    showFault(fault);
  }
  enter("idle");
}

at("microphone").onclick = () => (idle() ? streamMicrophone() : stopping.abort());
for (const button of document.querySelectorAll(".sample")) button.onclick = streamSample;
at("open").onclick = () => at("file").click();
at("file").onchange = ({ target }) => {
  const [file] = target.files;
  target.value = ""; // so that the same file may be chosen again
  if (file) streamFile(file);
};
at("copy").onclick = copy;
at("clear").onclick = clear;
at("fault-close").onclick = () => (at("fault").hidden = true);
takeDrops();
chart.draw();
showModels();
