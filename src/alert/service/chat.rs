//! Services in which people talk. What others have said stands in the line, so none of it may call anybody, lead
//! anywhere, or be laid out as somebody else would have it.

use serde_json::json;

use super::{Request, Target, Telling, json, whole};
use crate::failure::{Failure, Kind};

/// The same line, in which `&`, `<` and `>` mean nothing: `<!channel>` and `<https://...|text>` are Slack's way to
/// call and to link. docs.slack.dev/messaging/formatting-message-text: "escape them as HTML entities"; a webhook takes
/// `text`, `mrkdwn`, `unfurl_links` and `unfurl_media`: docs.slack.dev/reference/methods/chat.postMessage.
pub(super) fn slack(target: &Target, telling: &Telling) -> Request {
    let text = telling.line().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json(&whole(target), &json!({"text": text, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false}))
}

/// docs.discord.com/developers/resources/webhook#execute-webhook: `content` up to 2000 characters; `parse: []` calls
/// nobody, whoever is named (allowed mentions); flag 4 is SUPPRESS_EMBEDS. Markdown means nothing behind a backslash.
pub(super) fn discord(target: &Target, telling: &Telling) -> Request {
    let mut content = String::new();
    for c in telling.line().chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '>') {
            content.push('\\');
        }
        content.push(c);
    }
    json(&whole(target), &json!({"content": content, "allowed_mentions": {"parse": []}, "flags": 4}))
}

/// A workflow that posts a card when it gets a request ("Post to a channel when a webhook request is received"):
/// learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using: a message with an
/// adaptive card; connectors of office.com have ended. A TextRun is text, where a TextBlock would be Markdown:
/// adaptivecards.io/explorer/TextRun.html, since version 1.2.
pub(super) fn teams(target: &Target, telling: &Telling) -> Request {
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{
            "type": "RichTextBlock",
            "inlines": [{"type": "TextRun", "text": telling.line()}],
        }],
    });
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    json(&whole(target), &json!({"type": "message", "attachments": [attachment]}))
}

/// core.telegram.org/bots/api#sendmessage: plain text without `parse_mode`, up to 4096 characters. The token stands in
/// the path: in the URL, or beside it.
pub(super) fn telegram(
    target: &Target,
    chat: &str,
    token: Option<&str>,
    telling: &Telling,
) -> Result<Request, Failure> {
    let path = target.path.expose().trim_end_matches('/');
    let path = path.strip_suffix("/sendMessage").unwrap_or(path);
    let path = match token {
        Some(token) if token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-')) => {
            let above = path.rsplit_once("/bot").map_or(path, |(above, _)| above);
            format!("{above}/bot{token}/sendMessage")
        }
        Some(_) => return Err(Failure::new(Kind::Configuration, "token", "is not one of Telegram's")),
        None if path.contains("/bot") => format!("{path}/sendMessage"),
        None => return Err(Failure::new(Kind::Configuration, "token", "is not configured, and Telegram needs it")),
    };
    let preview = json!({"is_disabled": true});
    Ok(json(&path, &json!({"chat_id": chat, "text": telling.line(), "link_preview_options": preview})))
}

/// Google Chat (developers.google.com/workspace/chat/quickstart/webhooks), Mattermost
/// (developers.mattermost.com/integrate/webhooks/incoming) and Rocket.Chat (docs.rocket.chat/docs/integrations): a line
/// of text. All three lay it out and none lets it be escaped, so what would call, link or quote is written another way.
pub(super) fn text(target: &Target, telling: &Telling) -> Request {
    let mut text = String::new();
    for c in telling.line().chars() {
        match c {
            '<' => text.push('\u{2039}'),
            '>' => text.push('\u{203a}'),
            '[' => text.push('('),
            ']' => text.push(')'),
            '`' | '*' | '~' => text.push('\''),
            // No name begins behind it.
            '@' => text.push_str("@\u{200b}"),
            c => text.push(c),
        }
    }
    json(&whole(target), &json!({"text": text}))
}
