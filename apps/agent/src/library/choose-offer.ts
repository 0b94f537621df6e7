import { isA, type RuntimeLibrary, RuntimeLibraryOffer } from '@skerry/contracts'
import type { LiteRtBuild, Machine } from '@skerry/runtimes'
import { isSignedBy } from '../manifest.ts'

export type Choice = { offer: RuntimeLibraryOffer } | { reason: string }

/**
 * The newest library for this machine among what a control plane offers, or why there is none. It must be signed by the key
 * that the device was enrolled with, and be one that was tried with this agent: the table in packages/runtimes.
 */
export function chooseOffer(
  offers: readonly unknown[],
  machine: Machine,
  controlPlanePublicKey: string,
  known: readonly LiteRtBuild[]
): Choice {
  if (offers.length === 0) return { reason: 'The control plane offers no LiteRT library.' }
  const reasons: string[] = []
  let newest: RuntimeLibraryOffer | undefined
  for (const each of offers) {
    if (!isA(RuntimeLibraryOffer, each)) continue
    const reason = misfit(each, machine, controlPlanePublicKey, known)
    if (reason !== undefined) reasons.push(`${nameOf(each.library)} ${reason}`)
    else if (newest === undefined || isNewer(each.library.version, newest.library.version)) newest = each
  }
  if (newest !== undefined) return { offer: newest }
  return { reason: `No LiteRT library of the control plane fits: ${reasons.join('; ') || 'none is understood'}.` }
}

function misfit(
  { library, signature }: RuntimeLibraryOffer,
  machine: Machine,
  publicKey: string,
  known: readonly LiteRtBuild[]
): string | undefined {
  if (library.arch !== machine.arch) return `is not for ${machine.arch}`
  if (machine.glibc === undefined) return `needs glibc, and this machine has another C library`
  if (!atLeast(machine.glibc, library.libc.version)) return `needs a newer glibc than ${machine.glibc}`
  if (!isSignedBy(library, signature, publicKey)) return 'is not signed by the control plane'
  const isKnown = known.some(({ sha256, arch }) => sha256 === library.sha256 && arch === machine.arch)
  return isKnown ? undefined : 'is not one that was tried with this agent'
}

const nameOf = ({ version, arch, libc }: RuntimeLibrary): string => `LiteRT ${version} (${arch}, glibc ${libc.version})`

/** Of versions such as 2.10.1; what is no number counts as 0. */
export function isNewer(version: string, other: string): boolean {
  const [mine, others] = [version, other].map((each) => each.split('.').map((part) => Number.parseInt(part, 10) || 0))
  for (let place = 0; place < Math.max(mine?.length ?? 0, others?.length ?? 0); place++) {
    const difference = (mine?.[place] ?? 0) - (others?.[place] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return false
}

function atLeast(version: string, least: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number)
  return major > leastMajor || (major === leastMajor && minor >= leastMinor)
}
