DROP TABLE telegram_pace;
