import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const server = process.env.LOQUAT_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: { target: 'es2022', chunkSizeWarningLimit: 600, assetsInlineLimit: 0 },
  server: {
    // The gateway trusts a cookie only together with its own origin, so the proxy presents it.
    proxy: Object.fromEntries(
      ['/session', '/files', '/hooks', '/ws', '/loquat.'].map((path) => [
        path,
        { target: server, ws: path === '/ws', changeOrigin: true, rewriteWsOrigin: true, headers: { origin: server } },
      ]),
    ),
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
