const icon = (children) =>
  function Icon({ size = 18 }) {
    return (
      <svg
        width={size}
        height={size}
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.8"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        {children}
      </svg>
    );
  };

export const Plus = icon(<path d="M12 5v14M5 12h14" />);
export const Menu = icon(<path d="M4 7h16M4 12h16M4 17h10" />);
export const Close = icon(<path d="m6 6 12 12M18 6 6 18" />);
export const Check = icon(<path d="m5 12.5 4.5 4.5L19 7.5" />);
export const Pencil = icon(<path d="m4 20 4-1 11-11-3-3L5 16zM14 7l3 3" />);
export const Trash = icon(<path d="M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5" />);
export const Archive = icon(<path d="M4 5h16v4H4zM6 9v10h12V9M10 13h4" />);
export const Restore = icon(<path d="M4 9h10a5 5 0 0 1 0 10h-3M4 9l4-4M4 9l4 4" />);
export const Sun = icon(
  <>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4" />
  </>,
);
export const Moon = icon(<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z" />);
export const SignIn = icon(<path d="M14 4h5v16h-5M4 12h10M10.5 8.5 14 12l-3.5 3.5" />);
export const SignOut = icon(<path d="M10 4H5v16h5M10 12h10M16.5 8.5 20 12l-3.5 3.5" />);
export const List = icon(<path d="m4 7 1.5 1.5L8 6M4 16l1.5 1.5L8 15M12 7h8M12 16h8" />);
export const Wrench = icon(
  <path d="M14.5 6.5a4 4 0 0 1 5-1l-3 3 .5 2 2 .5 3-3a4 4 0 0 1-5.5 4.8L9 20.3a2.1 2.1 0 0 1-3-3l7.5-7.5a4 4 0 0 1 1-3.3z" />,
);
export const Palette = icon(
  <>
    <path d="M12 3a9 9 0 1 0 0 18c1.5 0 2-1 1.6-2.2-.5-1.4.3-2.8 1.9-2.8H18a3 3 0 0 0 3-3c0-5.5-4-10-9-10z" />
    <path d="M7.5 12h.01M9.5 7.8h.01M14.5 7.8h.01" />
  </>,
);
export const Mark = () => (
  <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
    <rect className="mark-ground" width="32" height="32" rx="9" />
    <path
      className="mark-shape"
      d="M9 11.5A3.5 3.5 0 0 1 12.5 8h7a3.5 3.5 0 0 1 3.5 3.5v5a3.5 3.5 0 0 1-3.5 3.5H16l-4.5 4v-4.14A3.5 3.5 0 0 1 9 16.5z"
    />
  </svg>
);
