import { useEffect, useRef } from "react";
import { Close } from "./icons.jsx";

/** A panel from the side, for narrow screens. The dialog element brings focus trap and Escape. */
export function Drawer({ open, side, label, onClose, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);

  return (
    <dialog
      ref={dialog}
      className={`drawer ${side}`}
      aria-label={label}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div className="drawer-content">
        <button type="button" className="icon-button drawer-close" aria-label="Close" onClick={onClose}>
          <Close />
        </button>
        {open && children}
      </div>
    </dialog>
  );
}
