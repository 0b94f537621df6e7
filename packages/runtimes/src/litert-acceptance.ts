/*
 * LiteRT's library has no public ABI. It is accepted by its hash: one that was run behind these declarations before.
 */
import { fileSha256 } from './file-sha256.ts'
import { structLayout } from './litert-layout.ts'
import { RuntimeError } from './runtime-error.ts'

export type LiteRtBuild = {
  sha256: string
  /** Of the ai-edge-litert wheel that holds it; wheels for several Python versions hold the same library. */
  version: string
  arch: NodeJS.Architecture
  /** The least glibc that it starts with, which is not always what its wheel says. */
  glibc: string
  /** Number of the declarations in litert-library.ts that fit it. */
  structLayout: number
}

export const knownLiteRtLibraries: readonly LiteRtBuild[] = [
  {
    sha256: 'eec47eb35e2924b3166015887e652a58edc9af823ae38e02bf83bef2548300bb',
    version: '2.3.0',
    arch: 'x64',
    glibc: '2.27',
    structLayout: 1
  },
  {
    sha256: 'b57687dc234d2b8b0598aef5a9c961ed24263df8f8b3f56adbee1cff618e544b',
    version: '2.3.0',
    arch: 'arm64',
    glibc: '2.34',
    structLayout: 1
  }
]

/** `glibc` is undefined where the C library is another one. */
export type Machine = { arch: NodeJS.Architecture; glibc: string | undefined }

export function thisMachine(): Machine {
  // Without it, the report would look up the names of every network connection's peer.
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return { arch: process.arch, glibc: report.header?.glibcVersionRuntime }
}

/**
 * The known library that a file is; undefined for an unknown one where that is allowed.
 *
 * @throws RuntimeError `runtime-unavailable` that says why the library cannot run here.
 */
export async function acceptLiteRt(
  path: string,
  machine: Machine,
  options: { allowUnknown: boolean; known?: readonly LiteRtBuild[] }
): Promise<{ sha256: string; build: LiteRtBuild | undefined }> {
  const sha256 = await fileSha256(path).catch((cause: unknown) => {
    throw new RuntimeError('runtime-unavailable', `LiteRT's library cannot be read: ${String(cause)}`, { cause })
  })
  const build = (options.known ?? knownLiteRtLibraries).find((each) => each.sha256 === sha256)
  const reason = build === undefined ? unknownReason(options.allowUnknown) : misfit(build, machine)
  if (reason === undefined) return { sha256, build }
  throw new RuntimeError('runtime-unavailable', `LiteRT's library ${path} (sha256 ${sha256}) ${reason}.`)
}

function unknownReason(allowed: boolean): string | undefined {
  return allowed ? undefined : 'is not one that was tried with this version; allowUnknownLiteRt runs it all the same'
}

function misfit(build: LiteRtBuild, machine: Machine): string | undefined {
  if (build.structLayout !== structLayout) return `has struct layout ${build.structLayout}, not ${structLayout}`
  if (build.arch !== machine.arch) return `is for ${build.arch}, and this is ${machine.arch}`
  if (machine.glibc === undefined) return `needs glibc ${build.glibc}, and this machine has another C library`
  if (!atLeast(machine.glibc, build.glibc)) return `needs glibc ${build.glibc}, and this machine has ${machine.glibc}`
  return undefined
}

function atLeast(version: string, least: string): boolean {
  const [[major = 0, minor = 0], [leastMajor = 0, leastMinor = 0]] = [version, least].map((each) =>
    each.split('.').map(Number)
  ) as [number[], number[]]
  return major > leastMajor || (major === leastMajor && minor >= leastMinor)
}
