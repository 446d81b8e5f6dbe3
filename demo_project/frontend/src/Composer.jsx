import { CopilotChatInput } from "@copilotkit/react-core/v2";

let typing = false;

/**
 * The client's text field. The first message moves a conversation from the welcome screen to the
 * chat, with another field; whoever was typing in the one goes on in the other.
 */
export function Composer(props) {
  return (
    <CopilotChatInput.TextArea
      {...props}
      aria-label="Message"
      autoFocus={typing}
      onFocus={() => {
        typing = true;
      }}
      // Not called for a field that is taken off the page.
      onBlur={() => {
        typing = false;
      }}
    />
  );
}
