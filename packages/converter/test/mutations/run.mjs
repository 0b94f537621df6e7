// Runs run.ts, which is TypeScript and imports the packages' source, through the tests' own transformer.
import { fileURLToPath } from 'node:url'
import { createViteServer } from 'vitest/node'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const conditions = ['@skerry/source']
const server = await createViteServer({
  root,
  configFile: false,
  logLevel: 'error',
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true }
})
try {
  await server.ssrLoadModule(fileURLToPath(new URL('run.ts', import.meta.url)))
} finally {
  await server.close()
}
