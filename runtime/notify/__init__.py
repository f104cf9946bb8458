"""What a person hears of trading: events, the rules about them, and the channels that carry them."""
