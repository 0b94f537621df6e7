import type { VariantState } from '../types.ts'
import { type Markup, markup } from './markup.ts'

/** What each state means to somebody who has never seen one. */
export const stateMeanings: Readonly<Record<VariantState, string>> = {
  ready: 'Proven on held-out data: it may be served.',
  unproven: 'Not compared on enough real data: it runs only where a deployment allows unproven variants.',
  inconclusive: 'The data does not make the original itself vary, so that nothing could be compared.',
  rejected: 'It does not answer what the original answers: it is never served.',
  failed: 'It could not be made.'
}

// Told apart by outline and by sign as well as by colour; drawn in a box from -10 to 10.
const shapes: Readonly<Record<VariantState, Markup>> = {
  ready: markup`<circle r="9" class="fill"/><path d="M-4.5 0.5 L-1.3 3.8 L4.8 -3.6" class="sign"/>`,
  unproven: markup`<circle r="8" class="hollow"/><path d="M-2.8 -2.2 a2.9 2.9 0 1 1 3.9 2.7 q-1 .5 -1 1.7 M.1 5 v.1" class="mark"/>`,
  inconclusive: markup`<rect x="-6.6" y="-6.6" width="13.2" height="13.2" transform="rotate(45)" class="hollow"/><path d="M-4.2 0 q2.1 -3.4 4.2 0 t4.2 0" class="mark"/>`,
  rejected: markup`<path d="M-3.8 -9 h7.6 l5.2 5.2 v7.6 l-5.2 5.2 h-7.6 l-5.2 -5.2 v-7.6 z" class="fill"/><path d="M-3.6 -3.6 L3.6 3.6 M3.6 -3.6 L-3.6 3.6" class="sign"/>`,
  failed: markup`<path d="M0 -9.5 L9.5 8 H-9.5 z" class="fill"/><path d="M0 -3.4 V2.2 M0 5.2 v.1" class="sign"/>`
}

/** The state's sign, for use inside an SVG; around (0, 0), 20 units wide. */
export function stateShape(state: VariantState): Markup {
  return markup`<g class="state-${state}">${shapes[state]}</g>`
}

/** Sign and word. */
export function stateBadge(state: VariantState): Markup {
  return markup`<span class="badge state-${state}"><svg viewBox="-10 -10 20 20" aria-hidden="true">${stateShape(state)}</svg><span>${state}</span></span>`
}
