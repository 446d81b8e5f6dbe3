import { SignIn, SignOut } from "./icons.jsx";

/** Signing in takes along what was said before; signing out leaves nothing behind. */
export function Account({ name, signIn, signOut, token }) {
  if (signIn)
    return (
      <a className="account" href={signIn}>
        <SignIn />
        <span>Sign in</span>
      </a>
    );
  return (
    <form className="account-form" action={signOut} method="post">
      <input type="hidden" name="csrfmiddlewaretoken" value={token} />
      <button type="submit" className="account" title={`Sign out ${name}`}>
        <SignOut />
        <span>Sign out</span>
      </button>
    </form>
  );
}
