import type { RuntimeName, StartRuntimeOptions } from '../src/index.ts'

/** Set by scripts/test-arch.mjs: the runtimes' processes run on an emulated CPU, the tests' own stays where it is. */
export const emulated = JSON.parse(process.env.SKERRY_TEST_EMULATED ?? 'null') as
  | (Pick<StartRuntimeOptions, 'launcher' | 'liteRtLibrary'> & {
      runtimes: RuntimeName[]
      mismatched?: StartRuntimeOptions['launcher']
    })
  | null
