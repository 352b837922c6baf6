import { createRoot } from "react-dom/client";

import { App } from "./app";
import { takeLinkToken } from "./pages/login_link";
import "./styles.css";

// Before anything is drawn or asked: a token leaves the address, the history and every Referer.
takeLinkToken();
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(<App />);
