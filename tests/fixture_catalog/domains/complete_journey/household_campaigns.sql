-- One row per household and campaign that it is addressed by.
SELECT
  campaigns.household_id,
  campaigns.campaign_id,
  right(campaign_descriptions.campaign_type, 1) AS campaign_type,
  -- A campaign counts as known from the first moment of its first day, not from when the list was delivered.
  CAST(campaign_descriptions.start_date AS TIMESTAMP WITH TIME ZONE) AS starts_at,
  campaign_descriptions.end_date AS last_day
FROM campaigns
JOIN campaign_descriptions ON campaign_descriptions.campaign_id = campaigns.campaign_id
