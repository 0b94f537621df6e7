import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'

type Interface = { address: string; family: string; internal: boolean }

const urlOf = ({ address, family, port }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`

/**
 * Where devices reach a server that listens so: the address that somebody gave for it, the one it is bound to, or, for
 * one that listens on all of them, those of the machine's networks. Loopback stands last: it is right on this machine.
 */
export function reachableUrls(
  listening: readonly (AddressInfo | string)[],
  publicUrl: string | undefined,
  interfaces: readonly Interface[] = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
): string[] {
  const bound = listening.flatMap((each) => {
    if (typeof each === 'string') return []
    if (each.address !== '0.0.0.0' && each.address !== '::') return [each]
    // IPv6 addresses of an interface are mostly link-local, which mean nothing on another machine.
    const external = interfaces.filter(({ family, internal }) => family === 'IPv4' && !internal)
    return [...external, { address: '127.0.0.1', family: 'IPv4' }].map((at) => ({ ...at, port: each.port }))
  })
  const urls = bound.sort((a, b) => Number(isLoopback(a.address)) - Number(isLoopback(b.address))).map(urlOf)
  return [...new Set([...(publicUrl === undefined ? [] : [publicUrl]), ...urls])]
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')
