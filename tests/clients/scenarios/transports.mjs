// The ways CopilotKitCore reaches a runtime.

import { histories, open, until } from "../clients.mjs";

async function everything({ at }, transport) {
  const calls = [];
  const tools = [{ name: "confirm", description: "Ask", handler: (args) => calls.push(args) }];
  const client = await open("core", at("usual"), { transport, tools });
  await client.say("text:2");
  await client.say("confirm");
  await client.sayAndStop("hang:3", (view) => view.messages.at(-1).content.endsWith("tok2 "));
  const live = client.view();
  const reader = await open("core", at("usual"), { transport, threadId: live.threadId });
  await reader.connect();
  const later = { ...(await histories(at("usual"), live.threadId)), same: reader.view() };
  return { calls, used: client.core.runtimeTransport, live, later };
}

export const rest = (stage) => everything(stage, "rest");
export const single = (stage) => everything(stage, "single");
export const auto = (stage) => everything(stage, "auto");

async function locked({ at }, transport) {
  const client = await open("core", at("locked"), { transport });
  const { url, headers } = at("locked");
  const ask = async (path, init) => {
    const response = await fetch(url + path, { ...init, headers, redirect: "manual" });
    const type = response.headers.get("content-type");
    return { status: response.status, type, body: await response.json() };
  };
  const get = await ask("/info");
  const post = await ask("", { method: "POST", body: JSON.stringify({ method: "info" }) });
  return { status: client.status, errors: client.errors, get, post };
}

export const locked_rest = (stage) => locked(stage, "rest");
export const locked_single = (stage) => locked(stage, "single");
export const locked_auto = (stage) => locked(stage, "auto");

const ofCore = { rest, single, auto, locked_rest, locked_single, locked_auto };
for (const scenario of Object.values(ofCore)) scenario.kinds = ["core"];

async function suggestions({ at }, transport) {
  const client = await open("core", at("usual"), { transport });
  const { core } = client;
  await client.say("text:1");
  core.addSuggestionsConfig({ instructions: "Suggest", minSuggestions: 2, maxSuggestions: 2 });
  core.reloadSuggestions("default");
  const known = () => core.getSuggestions("default");
  // All of them may come between two looks.
  await until(() => known().isLoading || known().suggestions.length > 0, "suggestions to be asked for");
  await until(() => !known().isLoading, "suggestions");
  const { url, headers } = at("usual");
  const { threads } = await (await fetch(`${url}/threads`, { headers })).json();
  const shown = known().suggestions;
  return { shown, live: client.view(), threads: threads.map(({ id }) => id) };
}

export const suggestions_rest = (stage) => suggestions(stage, "rest");
export const suggestions_single = (stage) => suggestions(stage, "single");
suggestions_rest.kinds = suggestions_single.kinds = ["core"];

// CopilotKitCore has no call for it: the forms its React components send.

const RECORDING = "RIFF of a voice";

async function hearing(at, path, init) {
  const { url, headers } = at("hearing");
  const response = await fetch(url + path, { method: "POST", ...init, headers: { ...headers, ...init.headers } });
  return { status: response.status, body: await response.json() };
}

export async function transcribe_form({ at }) {
  const client = await open("core", at("hearing"));
  const body = new FormData();
  body.append("audio", new Blob([RECORDING], { type: "audio/webm;codecs=opus" }), "recording.webm");
  const enabled = client.core.audioFileTranscriptionEnabled;
  return { enabled, ...(await hearing(at, "/transcribe", { body })) };
}

export async function transcribe_envelope({ at }) {
  const client = await open("core", at("hearing"), { transport: "single" });
  const audio = Buffer.from(RECORDING).toString("base64");
  const recording = { audio, mimeType: "audio/webm", filename: "recording.webm" };
  const body = JSON.stringify({ method: "transcribe", body: recording });
  const headers = { "content-type": "application/json" };
  const enabled = client.core.audioFileTranscriptionEnabled;
  return { enabled, ...(await hearing(at, "", { body, headers })) };
}
transcribe_form.kinds = transcribe_envelope.kinds = ["core"];
