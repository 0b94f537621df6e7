import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Workspace packages answer with their TypeScript source under this condition, so tests need no build of them.
  resolve: { conditions: ['@skerry/source'] },
  ssr: { resolve: { conditions: ['@skerry/source'], externalConditions: ['@skerry/source'] } },
  test: {
    globalSetup: ['packages/testkit/src/global-setup.ts'],
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    fileParallelism: false
  }
})
