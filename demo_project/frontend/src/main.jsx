import { CopilotKitProvider } from "@copilotkit/react-core/v2";
import "@copilotkit/react-core/v2/styles.css";
import { createRoot } from "react-dom/client";
import { App } from "./App.jsx";
import { Boundary } from "./Boundary.jsx";
import { reportError } from "./errors.js";
import "./styles.css";

const config = JSON.parse(document.getElementById("config").textContent);

createRoot(document.getElementById("app")).render(
  <Boundary>
    <CopilotKitProvider
      runtimeUrl={config.runtimeUrl}
      onError={reportError}
      enableInspector={false}
    >
      <App config={config} />
    </CopilotKitProvider>
  </Boundary>,
);
