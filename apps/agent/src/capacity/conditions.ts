import { arch, availableParallelism, cpus, release } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { type RuntimeName, runtimeStamp, thisMachine } from '@skerry/runtimes'
import { readCgroup } from '../system/cgroup.ts'
import type { SystemFiles } from '../system/system-files.ts'

/** What a measurement holds for, by what people call it: where any of it is another, it is taken anew. */
export type Conditions = Record<string, string>

export type RunsWith = {
  runtime: RuntimeName
  /** Of LiteRT, and the version that whoever gave it said it has. */
  library?: string | undefined
  version?: string | undefined
  threads: number
}

/** None of it needs a runtime to be started. null where the runtime is not installed. */
export async function readConditions(
  { runtime, library, version, threads }: RunsWith,
  files: SystemFiles
): Promise<Conditions | null> {
  const stamp = runtimeStamp(runtime, library)
  if (stamp === null) return null
  const { memoryBytes, cpus: cpuLimit } = await readCgroup(files)
  const { glibc } = thisMachine()
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(await files.text('etc/os-release'))?.[1]
  return {
    runtime: `${runtime}${version === undefined ? '' : ` ${version}`}, ${stamp}`,
    threads: String(threads),
    node: process.versions.node,
    cpu: `${availableParallelism()} x ${cpus()[0]?.model.trim() || arch()}`,
    kernel: release(),
    ...(glibc === undefined ? {} : { glibc }),
    ...(system === undefined ? {} : { system }),
    ...(memoryBytes === null ? {} : { memoryLimit: String(memoryBytes) }),
    ...(cpuLimit === null ? {} : { cpuLimit: String(cpuLimit) })
  }
}

export const isSame = (a: Conditions, b: Conditions): boolean => isDeepStrictEqual(a, b)
