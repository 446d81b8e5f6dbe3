import { CopilotChat, useConfigureSuggestions, useInterrupt } from "@copilotkit/react-core/v2";
import { useEffect, useMemo, useState } from "react";
import { Composer } from "./Composer.jsx";
import { useSay } from "./say.js";

const MENU = "Things to say";
/** What the answers to a question are called, by what it is about. */
const WORDS = {
  delete: { yes: "Delete", no: "Keep", danger: true },
  other: { yes: "Yes", no: "No" },
};
const SCROLL_VIEW = { scrollToBottomButton: { "aria-label": "Scroll to the end" } };

export function Chat({ about, agent, threadId, onNew }) {
  useConfigureSuggestions(
    {
      instructions: "Suggest what the person may want to say next.",
      minSuggestions: 1,
      maxSuggestions: 3,
      available: "always",
      providerAgentId: about.id,
      consumerAgentId: about.id,
    },
    [about.id],
  );
  useInterrupt({
    agentId: about.id,
    render: ({ interrupts, resolve, cancel }) => (
      <>
        {interrupts.map(({ id, message, metadata }) => (
          <Approval
            key={id}
            question={message}
            titles={metadata?.titles ?? []}
            words={WORDS[metadata?.action] ?? WORDS.other}
            onApprove={() => resolve({ approved: true }, id)}
            onCancel={() => cancel(id)}
          />
        ))}
      </>
    ),
  });
  useImpliedCancel(agent);
  const step = useStep(agent);
  const gone = useEmptiness(agent, threadId);
  const say = useSay(agent);
  const { isRunning } = agent;
  // The client draws icons without words; names for those who do not see them.
  const input = useMemo(
    () => ({
      // Behind the plus sign, and as commands after a slash.
      toolsMenu: about.menu.map((message) => ({ label: message, action: () => say(message) })),
      addMenuButton: { "aria-label": MENU },
      sendButton: { "aria-label": isRunning ? "Stop" : "Send" },
      textArea: Composer,
    }),
    [about, say, isRunning],
  );

  return (
    <>
      <CopilotChat
        agentId={about.id}
        threadId={threadId}
        input={input}
        scrollView={SCROLL_VIEW}
        labels={{
          chatInputPlaceholder: about.placeholder,
          welcomeMessageText: about.welcome,
          chatInputToolbarAddButtonLabel: MENU,
          chatDisclaimerText: about.notice ?? "No model, no key: this agent is plain Python.",
        }}
      />
      {step && agent.isRunning && (
        <p className="step" role="status">
          {step}
        </p>
      )}
      {gone && (
        <div className="gone">
          <p>This conversation is empty, or the server no longer has it.</p>
          <button type="button" className="button" onClick={onNew}>
            Start a new one
          </button>
        </div>
      )}
    </>
  );
}

function Approval({ question, titles, words, onApprove, onCancel }) {
  const [answered, setAnswered] = useState(false);
  const answer = (reply) => () => {
    setAnswered(true);
    // A refused answer reaches the client's onError; the question then stands again.
    Promise.resolve(reply()).catch(() => setAnswered(false));
  };
  return (
    <div className="approval" role="group" aria-label="Your approval is needed">
      <p className="question">{question}</p>
      {titles.length > 1 && (
        <ul>
          {titles.slice(0, 6).map((title, index) => (
            <li key={index}>{title}</li>
          ))}
          {titles.length > 6 && <li>and {titles.length - 6} more</li>}
        </ul>
      )}
      <div className="answers">
        <button
          type="button"
          className={`button ${words.danger ? "danger" : ""}`}
          disabled={answered}
          onClick={answer(onApprove)}
        >
          {words.yes}
        </button>
        <button type="button" className="button" disabled={answered} onClick={answer(onCancel)}>
          {words.no}
        </button>
      </div>
    </div>
  );
}

/** Saying something else instead of answering means no. The client would refuse to send it. */
function useImpliedCancel(agent) {
  useEffect(() => {
    const { unsubscribe } = agent.subscribe({
      onNewMessage: ({ message }) => {
        if (message.role === "user") agent.pendingInterrupts = [];
      },
    });
    return unsubscribe;
  }, [agent]);
}

/** The step the agent says it is at. */
function useStep(agent) {
  const [step, setStep] = useState(null);
  useEffect(() => {
    const { unsubscribe } = agent.subscribe({
      onStepStartedEvent: ({ event }) => setStep(event.stepName),
      onStepFinishedEvent: () => setStep(null),
      onRunFinalized: () => setStep(null),
      onRunFailed: () => setStep(null),
    });
    return unsubscribe;
  }, [agent]);
  return step;
}

/** Whether a conversation that was asked for by its id turned out to have nothing in it. */
function useEmptiness(agent, threadId) {
  const [waited, setWaited] = useState(false);
  const quiet = Boolean(threadId) && agent.messages.length === 0 && !agent.isRunning;
  useEffect(() => {
    setWaited(false);
    if (!quiet) return undefined;
    const timer = setTimeout(() => setWaited(true), 1500);
    return () => clearTimeout(timer);
  }, [quiet, agent]);
  return quiet && waited;
}
