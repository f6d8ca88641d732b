// Sends a page with its status, in the language of the consent or of the browser. The wording is in pages/.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MessageKind } from '../texts/catalogue.ts'
import { chooseLocale } from './pages/locale.ts'
import { messagePage, messageStatus } from './pages/message-page.ts'
import type { MessageViews } from './pages/message-page.ts'

export const HTML = 'text/html; charset=utf-8'

/** The language of the consent that the page is about, else the browser's language. */
export const localeFor = (request: FastifyRequest, consent?: { readonly locale: string | undefined }): string =>
  chooseLocale({ consent: consent?.locale, acceptLanguage: request.headers['accept-language'] })

export const answerPage = <K extends MessageKind>(
  reply: FastifyReply,
  kind: K,
  view: MessageViews[K],
  status = messageStatus[kind],
): FastifyReply => reply.code(status).type(HTML).send(messagePage(kind, view))

/** Sends a page that names no user, company or bank. */
export const answerPlainPage = (
  request: FastifyRequest,
  reply: FastifyReply,
  kind: 'unknown-link' | 'not-found' | 'bad-request' | 'too-many' | 'internal',
): FastifyReply => answerPage(reply, kind, { locale: localeFor(request) })
