// Runs that end early: stopped by the user or failed, then another run, then a reload.

import { histories, open } from "../clients.mjs";

const last = (view) => view.messages.at(-1);

function stopped(script, opened) {
  return async ({ kind, at }) => {
    const client = await open(kind, at("usual"));
    const stopped = await client.sayAndStop(script, opened);
    await client.say("text:2");
    const live = client.view();
    return { stopped, live, later: await histories(at("usual"), live.threadId) };
  };
}

export const stop_in_text = stopped("hang:3", (view) => last(view).content.endsWith("tok2 "));
export const stop_in_tool = stopped("hangtool", (view) =>
  last(view).toolCalls?.[0].function.arguments.endsWith(":"),
);
export const stop_in_reasoning = stopped("hangreasoning", (view) => last(view).content.endsWith("thought"));
export const stop_in_step = stopped("hangstep", (view) => last(view).content.endsWith("planning"));
export const stop_in_everything = stopped("hangeverything", (view) =>
  last(view).toolCalls?.[0].function.arguments.endsWith(":"),
);
export const stop_at_the_start = stopped("hang:0", (view) => last(view).role === "assistant");
export const stop_that_throws = stopped("hangthrow:2", (view) => last(view).content.endsWith("tok1 "));

function failed(script) {
  return async ({ kind, at }) => {
    const client = await open(kind, at("usual"));
    const failed = await client.say(script);
    await client.say("text:2");
    const live = client.view();
    return { failed, live, later: await histories(at("usual"), live.threadId) };
  };
}

export const error_in_text = failed("error");
export const error_in_tool = failed("errortool");
export const error_at_once = failed("error0");
export const error_of_the_agent = failed("runerror");
export const no_end = failed("noend");
export const no_event = failed("empty");
export const wrong_order = failed("badorder");
export const open_at_the_end = failed("openfinish");
