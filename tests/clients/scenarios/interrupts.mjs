// An agent that waits for the user's approval.

import { histories, open } from "../clients.mjs";

async function approval({ kind, at }, { sameRun, reload = false }) {
  let client = await open(kind, at("usual"));
  const asked = await client.say("approve");
  if (reload) {
    client = await open(kind, at("usual"), { threadId: asked.threadId });
    await client.connect();
  }
  const reloaded = client.view();
  const [{ id }] = client.interrupts;
  const resume = [{ interruptId: id, status: "resolved", payload: { approved: true } }];
  await client.run({ resume, runId: sameRun ? asked.runs[0].runId : crypto.randomUUID() });
  await client.say("text:1");
  const live = client.view();
  return { asked, reloaded, live, later: await histories(at("usual"), live.threadId) };
}

export const new_run = (stage) => approval(stage, { sameRun: false });
export const same_run = (stage) => approval(stage, { sameRun: true });
export const after_a_reload = (stage) => approval(stage, { sameRun: true, reload: true });
