import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const gateway = process.env["ETP_GATEWAY"] ?? "http://127.0.0.1:8080";

/** Below this a packed file saves nothing worth a second file, bytes. */
const LEAST_PACKED = 1_024;

/** Packs what is built, once, so that the gateway does not at each request. The header has no time in it. */
function packed(): Plugin {
  let directory = "";
  return {
    name: "packed",
    apply: "build",
    configResolved: (config) => {
      directory = config.build.outDir;
    },
    closeBundle: () => {
      for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const body = readFileSync(join(directory, name));
        if (body.length >= LEAST_PACKED) writeFileSync(join(directory, `${name}.gz`), gzipSync(body, { level: 9 }));
      }
    },
  };
}

/** React names its DOM keys by Math.random; here as everywhere, chance comes from the one good source. */
function oneChance(): Plugin {
  const chance = "(crypto.getRandomValues(new Uint32Array(1))[0]/4294967296)";
  return { name: "one-chance", apply: "build", renderChunk: (code) => ({ code: code.replaceAll("Math.random()", chance), map: null }) };
}

export default defineConfig({
  plugins: [react(), tailwindcss(), oneChance(), packed()],
  build: {
    outDir: "../gateway/static",
    emptyOutDir: true,
    target: "es2022",
    // The gateway's content policy is default-src 'self': no data: URLs, no inline polyfill.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  // Development against a running gateway; Origin is rewritten, since the gateway takes its own only.
  server: {
    proxy: {
      "/api": { target: gateway, changeOrigin: true, headers: { origin: gateway } },
      "/ws": { target: gateway, ws: true, changeOrigin: true, headers: { origin: gateway } },
    },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
