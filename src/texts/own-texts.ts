// The texts that come with Reconsent, read once, when the program loads: with a broken text nothing starts.
import { loadTexts } from './load-texts.ts'

export const texts = loadTexts()
