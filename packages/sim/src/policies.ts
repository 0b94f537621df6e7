import { arrivalPolicies } from './bound-at-arrival.ts'
import { lateEdf, lateEdfOwn, skerry } from './late-policies.ts'
import type { Policy, PolicyWorld } from './world.ts'

export type MakePolicy = (world: PolicyWorld) => Policy

/** contract.md's eight, in its order. */
export const POLICY_NAMES = [
  'random',
  'round-robin',
  'power-of-two',
  'least-loaded',
  'predicted-finish',
  'predicted-finish-refuse',
  'late-edf',
  'skerry'
] as const

/** @throws RangeError for a name that is none of `POLICY_NAMES` or `late-edf-own`. */
export function policyOf(name: string, seed: number): MakePolicy {
  if (name === 'late-edf') return lateEdf
  if (name === 'late-edf-own') return lateEdfOwn
  if (name === 'skerry') return skerry()
  const make = arrivalPolicies(seed)[name]
  if (make === undefined)
    throw new RangeError(`no policy is called ${name}; there are ${POLICY_NAMES.join(', ')} and late-edf-own`)
  return make
}

/** Beyond this many devices a policy that looks at every device for every request is left out, and that is said. */
const EVERY_DEVICE_AT_MOST = 2_000
const LOOKS_AT_ALL = ['least-loaded', 'predicted-finish', 'predicted-finish-refuse']

export function leftOutAt(devices: number): string[] {
  return devices > EVERY_DEVICE_AT_MOST ? LOOKS_AT_ALL : []
}
