import { isA, type RuntimeLibrary, RuntimeLibraryOffer } from '@skerry/contracts'
import { knownLiteRtLibraries, type Machine } from '@skerry/runtimes'
import { isSignedBy } from '../manifest.ts'

export type Choice = { offer: RuntimeLibraryOffer } | { reason: string }

/**
 * The library for this machine among what a control plane offers, or why there is none. It must be signed by the key
 * that the device was enrolled with, and be one that was tried with this agent: the table in packages/runtimes.
 */
export function chooseOffer(offers: readonly unknown[], machine: Machine, controlPlanePublicKey: string): Choice {
  if (offers.length === 0) return { reason: 'The control plane offers no LiteRT library.' }
  const reasons: string[] = []
  for (const each of offers) {
    if (!isA(RuntimeLibraryOffer, each)) continue
    const reason = misfit(each, machine, controlPlanePublicKey)
    if (reason === undefined) return { offer: each }
    reasons.push(`${nameOf(each.library)} ${reason}`)
  }
  return { reason: `No LiteRT library of the control plane fits: ${reasons.join('; ') || 'none is understood'}.` }
}

function misfit({ library, signature }: RuntimeLibraryOffer, machine: Machine, publicKey: string): string | undefined {
  if (library.arch !== machine.arch) return `is not for ${machine.arch}`
  if (machine.glibc === undefined) return `needs glibc, and this machine has another C library`
  if (!atLeast(machine.glibc, library.libc.version)) return `needs a newer glibc than ${machine.glibc}`
  if (!isSignedBy(library, signature, publicKey)) return 'is not signed by the control plane'
  const known = knownLiteRtLibraries.some(({ sha256, arch }) => sha256 === library.sha256 && arch === machine.arch)
  return known ? undefined : 'is not one that was tried with this agent'
}

const nameOf = ({ version, arch, libc }: RuntimeLibrary): string => `LiteRT ${version} (${arch}, glibc ${libc.version})`

function atLeast(version: string, least: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = least.split('.').map(Number)
  return major > leastMajor || (major === leastMajor && minor >= leastMinor)
}
