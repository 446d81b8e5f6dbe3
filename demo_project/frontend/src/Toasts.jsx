import { dismissError, useErrors } from "./errors.js";
import { Close } from "./icons.jsx";

export function Toasts() {
  const errors = useErrors();
  return (
    <div className="toasts" role="alert" aria-live="assertive">
      {errors.map(({ id, text, fatal }) => (
        <div className="toast" key={id}>
          <p>
            <strong>{fatal ? "The server is out of reach." : "That did not work."}</strong> {text}
          </p>
          {fatal && (
            <button type="button" className="button small" onClick={() => window.location.reload()}>
              Reload
            </button>
          )}
          <button
            type="button"
            className="icon-button"
            aria-label="Dismiss"
            onClick={() => dismissError(id)}
          >
            <Close size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
