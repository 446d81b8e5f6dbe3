import { Component } from "react";

/** Says so when the page itself breaks; the client throws when the server lacks an agent. */
export class Boundary extends Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  render() {
    if (!this.state.error) return this.props.children;
    return (
      <main className="broken" role="alert">
        <h1>This page stopped working</h1>
        <p>{this.state.error.message}</p>
        <button type="button" className="button primary" onClick={() => window.location.reload()}>
          Reload
        </button>
      </main>
    );
  }
}
